//! Locks that are shared or exclusive.

use std::{
    sync::atomic::{AtomicI32, AtomicU32, Ordering},
    thread,
    time::Duration,
};

use diesel_named_lock::{NamedLockError, permits::SharedLock};

use testkit::world::*;

use crate::stage::*;

fn lock(name: &str) -> SharedLock {
    SharedLock::new(name).unwrap()
}

fn shared_turnstile(name: &str) -> String {
    format!("{name}:shared#wait")
}

#[track_caller]
fn assert_all_free(name: &str) {
    assert_free(&shared_turnstile(name));
    (1..=SharedLock::MAX_SHARED).for_each(|number| assert_eq!(holder(&format!("{name}:shared#{number}")), None));
}

#[test]
fn shared_sections_run_beside_each_other_and_exclusive_ones_alone() {
    let name = fresh("beside");
    // -1 is one exclusive section.
    let (running, most, exclusive) = (AtomicI32::new(0), AtomicI32::new(0), AtomicU32::new(0));
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let (mut conn, lock) = (connect(), lock(&name).shared().timeout(LONG));
                for _ in 0..10 {
                    let outcome: Outcome<()> = lock.run(&mut conn, |_| {
                        let now = running.fetch_add(1, Ordering::SeqCst) + 1;
                        assert!(now > 0, "beside an exclusive section");
                        most.fetch_max(now, Ordering::SeqCst);
                        thread::sleep(Duration::from_millis(3));
                        running.fetch_sub(1, Ordering::SeqCst);
                        Ok(())
                    });
                    outcome.unwrap();
                }
            });
        }
        for _ in 0..2 {
            scope.spawn(|| {
                let (mut conn, lock) = (connect(), lock(&name).exclusive().timeout(LONG));
                for _ in 0..5 {
                    let outcome: Outcome<()> = lock.run(&mut conn, |_| {
                        assert_eq!(running.fetch_sub(1, Ordering::SeqCst), 0, "an exclusive section is not alone");
                        exclusive.fetch_add(1, Ordering::SeqCst);
                        thread::sleep(Duration::from_millis(3));
                        running.fetch_add(1, Ordering::SeqCst);
                        Ok(())
                    });
                    outcome.unwrap();
                }
            });
        }
    });
    assert_eq!(exclusive.into_inner(), 10);
    assert!(most.into_inner() > 1, "shared sections never ran at once");
    assert_all_free(&name);
}

#[test]
fn an_exclusive_section_waits_for_shared_ones_and_those_behind_it_wait_for_it() {
    let name = fresh("writer");
    let (one, two) = (hold(lock(&name).shared()), hold(lock(&name).shared()));
    let writer = start_as_head(lock(&name).exclusive().timeout(LONG), &shared_turnstile(&name));
    let reader = start(lock(&name).shared().timeout(LONG));
    wait_until_waiting(reader.id);
    one.end().unwrap();
    assert!(!writer.is_over() && !reader.is_over(), "the second one still holds it");
    two.end().unwrap();
    writer.outcome().0.unwrap();
    reader.outcome().0.unwrap();
    assert_all_free(&name);
}

#[test]
fn a_timeout_names_the_lock_that_was_awaited_and_its_holder() {
    let name = fresh("timeouts");
    let reader = hold(lock(&name).shared());
    for millis in [0, 100, 1000] {
        let timeout = Duration::from_millis(millis);
        match lock(&name).exclusive().timeout(timeout).run(&mut connect(), |_| Outcome::Ok(())) {
            Err(NamedLockError::Timeout { name: awaited, holder, .. }) => {
                assert_eq!(awaited.as_str(), format!("{name}:shared#1"));
                assert_eq!(holder.map(|holder| holder.connection_id.get()), Some(reader.id));
            }
            other => panic!("{other:?}"),
        }
        assert_free(&shared_turnstile(&name));
    }
    reader.end().unwrap();
    let writer = hold(lock(&name).exclusive());
    match lock(&name).shared().no_wait().run(&mut connect(), |_| Outcome::Ok(())) {
        Err(NamedLockError::Timeout { name: awaited, holder, .. }) => {
            assert_eq!(awaited.as_str(), shared_turnstile(&name));
            assert_eq!(holder.map(|holder| holder.connection_id.get()), Some(writer.id));
        }
        other => panic!("{other:?}"),
    }
    writer.end().unwrap();
    assert_all_free(&name);
}

#[test]
fn a_killed_exclusive_section_frees_all_at_once_and_is_lost() {
    let name = fresh("killed");
    let writer = hold(lock(&name).exclusive());
    kill(writer.id);
    assert_free_soon(&shared_turnstile(&name));
    let reader = hold(lock(&name).shared());
    let lost = writer.end();
    assert!(matches!(lost, Err(NamedLockError::Lost { .. })), "{lost:?}");
    reader.end().unwrap();
    assert_all_free(&name);
}

#[test]
fn a_guard_of_an_exclusive_section_asks_for_all_of_its_locks_at_once() {
    let name = fresh("guard");
    let mut guard = lock(&name).exclusive().acquire(connect()).unwrap();
    assert!(guard.still_holds().unwrap());
    testkit::world::release_lock(&mut *guard, &format!("{name}:shared#64"));
    assert!(!guard.still_holds().unwrap());
    let error = guard.release().map(drop).unwrap_err().error;
    assert!(matches!(&error, NamedLockError::Lost { name: lost, .. } if lost.as_str().ends_with("#64")), "{error:?}");
    assert_all_free(&name);
}

#[test]
fn a_log_line_names_ten_locks_and_counts_the_others() {
    let name = fresh("logged");
    let entries = testkit::logged::logged(|| {
        lock(&name).exclusive().run(&mut connect(), |_| Outcome::Ok(())).unwrap();
    });
    let acquired = format!("acquired named lock `{name}:shared#wait`, `{name}:shared#1`, ");
    let is_short = |text: &str| text.starts_with(&acquired) && text.contains("#9`, and 55 more on connection ");
    assert!(entries.iter().any(|entry| is_short(&entry.text)), "{entries:?}");
}
