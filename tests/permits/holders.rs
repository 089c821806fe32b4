//! How many sections hold permits at once.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Duration,
};

use diesel::prelude::*;
use diesel_named_lock::{NamedLock, NamedLockError};

use testkit::world::*;

use crate::stage::*;

#[test]
fn as_many_sections_as_there_are_permits_run_at_once_and_no_more() {
    const COUNT: u32 = 3;
    let name = fresh("at_once");
    let (running, most, runs) = (AtomicU32::new(0), AtomicU32::new(0), AtomicU32::new(0));
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let (mut conn, permit) = (connect(), permits(&name, COUNT).permit().timeout(LONG));
                for _ in 0..12 {
                    let outcome: Outcome<()> = permit.run(&mut conn, |_| {
                        let now = running.fetch_add(1, Ordering::SeqCst) + 1;
                        most.fetch_max(now, Ordering::SeqCst);
                        thread::sleep(Duration::from_millis(3));
                        running.fetch_sub(1, Ordering::SeqCst);
                        runs.fetch_add(1, Ordering::SeqCst);
                        Ok(())
                    });
                    outcome.unwrap();
                }
            });
        }
    });
    assert_eq!((runs.into_inner(), most.into_inner()), (96, COUNT));
    assert_all_free(&name, COUNT);
}

#[test]
fn a_section_has_the_first_permit_that_is_free_and_the_turnstile_is_free_again() {
    let name = fresh("first_free");
    let permit = || permits(&name, 3).permit();
    let (one, two) = (hold(permit()), hold(permit()));
    assert_eq!([1, 2, 3].map(|number| holder(&slot(&name, number))), [Some(one.id), Some(two.id), None]);
    assert_eq!(holder(&turnstile(&name)), None);
    one.end().unwrap();
    let three = hold(permit());
    assert_eq!(holder(&slot(&name, 1)), Some(three.id));
    two.end().unwrap();
    three.end().unwrap();
    assert_all_free(&name, 3);
}

#[test]
fn a_permit_is_free_after_every_way_out_of_its_section() {
    let (pool, name) = (pool_of_one(), fresh("ways_out"));
    let permit = permits(&name, 1).permit().no_wait();
    let mut conn = pool.get().unwrap();
    let outcome: Outcome<()> = permit.run(&mut conn, |_| Err(diesel::result::Error::NotFound.into()));
    assert!(matches!(outcome, Err(NamedLockError::Database(_))), "{outcome:?}");
    assert_all_free(&name, 1);
    let outcome: Outcome<()> = permit.run(&mut conn, |conn| Ok(begin(conn)?));
    assert!(matches!(outcome, Err(NamedLockError::TransactionLeftOpen { .. })), "{outcome:?}");
    assert_all_free(&name, 1);
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        permit.run(&mut conn, |_| -> Outcome<()> { panic!("on purpose") }).unwrap();
    }));
    assert!(panicked.is_err());
    assert_all_free(&name, 1);
    drop(conn);
    assert_sound(&pool, &slot(&name, 1));
}

#[test]
fn a_permit_whose_session_is_killed_is_free_at_once_and_its_section_is_lost() {
    let name = fresh("killed");
    let holding = hold(permits(&name, 1).permit());
    kill(holding.id);
    assert_free_soon(&slot(&name, 1));
    let next = hold(permits(&name, 1).permit());
    match holding.end() {
        Err(NamedLockError::Lost { name: lost, .. }) => assert_eq!(lost.as_str(), slot(&name, 1)),
        other => panic!("{other:?}"),
    }
    next.end().unwrap();
}

#[test]
fn a_guard_holds_a_permit_and_knows_which() {
    let name = fresh("guard");
    let first = hold(permits(&name, 2).permit());
    let mut guard = permits(&name, 2).permit().acquire(connect()).unwrap();
    assert_eq!(guard.names()[0].as_str(), slot(&name, 2));
    assert!(guard.still_holds().unwrap());
    assert_eq!(holder(&slot(&name, 2)), Some(guard.connection_id().get()));
    guard.release().unwrap();
    first.end().unwrap();
    assert_all_free(&name, 2);
}

#[test]
fn a_permit_has_the_options_of_every_lock() {
    let (mut conn, name) = (connect(), fresh("options"));
    let permit = permits(&name, 1).permit();
    let limited = permit.clone().idle_limit(Duration::from_secs(7));
    let timeout: Outcome<_> =
        limited.run(&mut conn, |conn| Ok(number(conn, "SELECT CAST(@@wait_timeout AS SIGNED) AS number")));
    assert_eq!(timeout.unwrap(), Some(7));
    assert_ne!(number(&mut conn, "SELECT CAST(@@wait_timeout AS SIGNED) AS number"), Some(7));
    let inner = |conn: &mut MysqlConnection| permit.clone().reentrant().run(conn, |_| Outcome::Ok(()));
    let outcome: Outcome<_> = permit.run(&mut conn, |conn| {
        inner(conn)?;
        Ok(holder(&slot(&name, 1)).is_some())
    });
    assert!(outcome.unwrap(), "an inner section releases nothing");
    assert_all_free(&name, 1);
    permit.run_transaction(&mut conn, |_| Outcome::Ok(())).unwrap();
}

#[test]
fn a_named_lock_of_the_same_name_is_another_lock() {
    let (mut conn, name) = (connect(), fresh("another"));
    let outcome: Outcome<Outcome<()>> =
        permits(&name, 1).permit().run(&mut conn, |conn| Ok(NamedLock::new(&name)?.no_wait().run(conn, |_| Ok(()))));
    outcome.unwrap().unwrap();
}
