//! Locks of a pool that are held for as long as a value lives.

use std::{
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
    time::Duration,
};

use diesel::{prelude::*, sql_query};
use diesel_named_lock::{NamedLock, NamedLockError, NamedLockExt, pool::NamedLockPool};

use testkit::world::*;

use crate::{
    events::{Handler, Told},
    line::*,
};

fn lock(name: &diesel_named_lock::LockName) -> NamedLock {
    NamedLock::new(name).unwrap().timeout(SOON)
}

#[test]
fn a_guard_holds_its_lock_until_it_is_released_and_gives_its_connection_back() {
    let (locks, name) = (generous(1), lock_name("guard"));
    let mut guard = locks.acquire(&lock(&name)).unwrap();
    let own = id(&mut *guard);
    assert_eq!((guard.connection_id().get(), guard.names()), (own, &[name.clone()][..]));
    assert_eq!((holder(name.as_str()), in_use(&locks)), (Some(own), 1));
    assert!(guard.still_holds().unwrap());
    assert!(format!("{guard:?}").contains(name.as_str()));
    guard.release().unwrap();
    assert_free(name.as_str());
    assert_eq!(in_use(&locks), 0);
    assert_sound(locks.pool(), name.as_str());
}

#[test]
fn a_guard_that_is_dropped_hands_its_lock_to_the_next_thread_as_one_that_is_released_does() {
    for is_dropped in [false, true] {
        let (locks, name) = (generous(2), lock_name("guard_hand_off"));
        let guard = locks.acquire(&lock(&name)).unwrap();
        let own = guard.connection_id().get();
        thread::scope(|scope| {
            let next = scope.spawn(|| locks.with_named_lock(&name, SOON, |conn| Outcome::Ok(id(conn))));
            wait_until_in_line(&locks, &name, 1);
            if is_dropped {
                drop(guard);
            } else {
                guard.release().unwrap();
            }
            assert_eq!(next.join().unwrap().unwrap(), own, "the connection went on with the lock");
        });
        assert_free(name.as_str());
    }
}

#[test]
fn a_guard_is_handed_a_lock_by_a_section() {
    let (locks, name) = (generous(2), lock_name("guard_handed"));
    let (own, guard) = thread::scope(|scope| {
        let outcome = locks.with_named_lock(&name, SOON, |conn| {
            let guard = scope.spawn(|| locks.acquire(&lock(&name)).unwrap());
            wait_until_in_line(&locks, &name, 1);
            Outcome::Ok((id(conn), guard))
        });
        let (own, guard) = outcome.unwrap();
        (own, guard.join().unwrap())
    });
    assert_eq!((guard.connection_id().get(), holder(name.as_str())), (own, Some(own)));
    guard.release().unwrap();
    assert_free(name.as_str());
}

#[test]
fn a_guard_held_for_longer_than_locks_are_handed_on_is_released() {
    let locks = NamedLockPool::builder(pool(2)).max_hand_off_time(Duration::from_nanos(1)).build();
    let name = lock_name("guard_long");
    let guard = locks.acquire(&lock(&name)).unwrap();
    thread::scope(|scope| {
        let mut other = connect();
        let other_id = id(&mut other);
        let elsewhere = scope.spawn(move || (get_lock(&mut other, name.as_str(), 20), other));
        wait_until_waiting(other_id);
        guard.release().unwrap();
        assert_eq!(elsewhere.join().unwrap().0, Some(1));
    });
}

/// Of a pool of one, which would have none for it.
#[test]
fn the_timeout_covers_the_queue_in_which_no_connection_is_needed() {
    let told = Arc::new(Told::default());
    let locks = NamedLockPool::builder(pool(1)).event_handler(Box::new(Handler(told.clone()))).build();
    let (name, timeout) = (lock_name("guard_timeout"), Duration::from_millis(100));
    let guard = locks.acquire(&lock(&name)).unwrap();
    let refused = locks.acquire(&lock(&name).timeout(timeout)).unwrap_err();
    let NamedLockError::Timeout { waited, in_queue, in_checkout, .. } = refused else { panic!("{refused:?}") };
    assert!(waited >= timeout && in_queue >= timeout && in_checkout.is_zero(), "{in_queue:?} of {waited:?}");
    guard.release().unwrap();
    assert_eq!(told.all(), ["waited", "timed out", "held"]);
    assert_free(name.as_str());
}

/// The queue would be wrong to take it for a thread that waits for itself.
#[test]
fn a_thread_waits_for_a_lock_whose_guard_it_has_given_to_another() {
    let (locks, name) = (generous(2), lock_name("guard_given"));
    let guard = locks.acquire(&lock(&name)).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            wait_until_in_line(&locks, &name, 1);
            guard.release().unwrap();
        });
        locks.acquire(&lock(&name)).expect("the other thread releases it").release().unwrap();
    });
    assert_free(name.as_str());
}

/// A waits for B's lock, and B for the one whose guard A has given away.
#[test]
fn a_guard_that_was_given_away_makes_no_circle() {
    let (locks, given, other) = (generous(4), lock_name("guard_no_circle_a"), lock_name("guard_no_circle_b"));
    let guard = locks.acquire(&lock(&given)).unwrap();
    thread::scope(|scope| {
        let b = || locks.with_named_lock(&other, SOON, |_| locks.with_named_lock(&given, SOON, |_| Outcome::Ok(())));
        let b = scope.spawn(b);
        wait_until_in_line(&locks, &given, 1);
        scope.spawn(|| {
            wait_until_in_line(&locks, &other, 1);
            guard.release().unwrap();
        });
        locks.with_named_lock(&other, SOON, |_| Outcome::Ok(())).expect("b gets both and releases them");
        b.join().unwrap().expect("no circle");
    });
    assert_free(given.as_str());
    assert_free(other.as_str());
}

/// As the documentation says.
#[test]
fn a_thread_that_waits_for_its_own_guard_waits_until_its_timeout() {
    let (locks, name) = (generous(2), lock_name("guard_itself"));
    let guard = locks.acquire(&lock(&name)).unwrap();
    let refused = locks.acquire(&lock(&name).timeout(Duration::from_millis(50))).unwrap_err();
    assert!(refused.is_timeout(), "{refused:?}");
    guard.release().unwrap();
    assert_free(name.as_str());
}

#[test]
fn a_panic_that_drops_a_guard_leaves_its_lock_to_the_next_thread() {
    let (locks, name) = (generous(2), lock_name("guard_panic"));
    thread::scope(|scope| {
        let mut next = None;
        let unwound = catch_unwind(AssertUnwindSafe(|| {
            let mut guard = locks.acquire(&lock(&name)).unwrap();
            begin(&mut *guard).unwrap();
            next = Some(scope.spawn(|| locks.with_named_lock(&name, SOON, |_| Outcome::Ok(()))));
            wait_until_in_line(&locks, &name, 1);
            panic!("on purpose");
        }));
        assert_eq!(unwound.unwrap_err().downcast_ref(), Some(&"on purpose"));
        next.unwrap().join().unwrap().unwrap();
    });
    assert_free(name.as_str());
    assert_eq!(in_use(&locks), 0);
    assert_sound(locks.pool(), name.as_str());
}

#[test]
fn a_guard_that_is_forgotten_gives_no_thread_its_lock() {
    let (locks, name) = (generous(2), lock_name("guard_forgotten"));
    let guard = locks.acquire(&lock(&name)).unwrap();
    let own = guard.connection_id().get();
    mem::forget(guard);
    assert_ne!(id(&mut locks.pool().get().unwrap()), own);
    assert!(locks.acquire(&lock(&name).no_wait()).unwrap_err().is_timeout());
    kill(own);
    assert_free_soon(name.as_str());
}

#[test]
fn a_lost_lock_is_reported_at_the_release_and_the_next_thread_starts_afresh() {
    let told = Arc::new(Told::default());
    let builder = NamedLockPool::builder(pool(2)).max_hand_offs(1000).max_hand_off_time(SOON * 10);
    let locks = builder.group_confirmation().event_handler(Box::new(Handler(told.clone()))).build();
    let name = lock_name("guard_lost");
    let guard = locks.acquire(&lock(&name)).unwrap();
    let own = guard.connection_id().get();
    thread::scope(|scope| {
        let next = scope.spawn(|| locks.with_named_lock(&name, SOON, |conn| Outcome::Ok(id(conn))));
        wait_until_in_line(&locks, &name, 1);
        kill(own);
        wait_until("the killed session to be gone", || !is_alive(own));
        let lost = guard.release();
        assert!(matches!(lost, Err(NamedLockError::Lost { .. })), "{lost:?}");
        assert_ne!(next.join().unwrap().unwrap(), own);
    });
    let mut told = told.all();
    told.sort();
    assert_eq!(told, ["held", "lost", "waited", "waited"]);
    assert_free(name.as_str());
}

#[test]
fn one_guard_holds_several_locks_and_has_sections_over_others_on_its_connection() {
    let (locks, a, b, other) = (generous(2), lock_name("guard_a"), lock_name("guard_b"), lock_name("guard_other"));
    let several = NamedLock::all_of([&b, &a]).unwrap().timeout(SOON);
    let mut guard = locks.acquire(&several).unwrap();
    let own = guard.connection_id().get();
    assert_eq!(guard.names(), several.names());
    assert_eq!([&a, &b].map(|name| holder(name.as_str())), [Some(own); 2]);
    let inner = guard.with_named_lock(&other, SOON, |_| Outcome::Ok(holder(other.as_str())));
    assert_eq!(inner.unwrap(), Some(own));
    let rows = guard.transaction(|conn| sql_query("DO 0").execute(conn));
    assert_eq!(rows, Ok(0));
    guard.release().unwrap();
    for name in [a, b, other] {
        assert_free(name.as_str());
    }
}

#[test]
fn a_guard_is_kept_alive_and_then_hands_its_lock_on() {
    let (locks, name) = (generous(2), lock_name("guard_watched"));
    let watched = locks.acquire(&lock(&name)).unwrap().keep_alive(Duration::from_millis(10)).unwrap();
    let own = watched.connection_id().get();
    thread::scope(|scope| {
        let next = scope.spawn(|| locks.with_named_lock(&name, SOON, |conn| Outcome::Ok(id(conn))));
        wait_until_in_line(&locks, &name, 1);
        assert!(!watched.lost(Duration::from_millis(50)));
        drop(watched);
        assert_eq!(next.join().unwrap().unwrap(), own);
    });
    let watched = locks.acquire(&lock(&name)).unwrap().keep_alive(Duration::from_millis(10)).unwrap();
    kill(watched.connection_id().get());
    assert!(watched.lost(SOON));
    let lost = watched.into_guard().release();
    assert!(matches!(lost, Err(NamedLockError::Lost { .. })), "{lost:?}");
    assert_free(name.as_str());
}
