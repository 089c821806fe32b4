//! Sections inside sections.

use std::{sync::Barrier, thread, time::Instant};

use diesel_named_lock::{NamedLock, NamedLockError, NamedLockExt};

use testkit::world::*;

use crate::line::*;

#[test]
fn a_thread_that_would_wait_for_itself_is_refused_at_once() {
    let (locks, name) = (generous(2), lock_name("itself"));
    let outcome: Outcome<()> = locks.with_named_lock(&name, SOON, |_| {
        let start = Instant::now();
        let inner = locks.with_named_lock(&name, SOON, |_| Outcome::Ok(()));
        assert!(matches!(inner, Err(NamedLockError::AlreadyHeld { connection_id: None, .. })), "{inner:?}");
        assert!(start.elapsed() < SOON / 2, "{:?}", start.elapsed());
        let message = inner.unwrap_err().to_string();
        assert!(message.contains("this very thread") && message.contains("reentrant()"), "{message}");
        Ok(())
    });
    outcome.unwrap();
    assert_free(name.as_str());
}

#[test]
fn a_section_on_the_connection_of_the_outer_one_is_refused() {
    let (locks, name) = (generous(2), lock_name("inner"));
    let outcome: Outcome<()> = locks.with_named_lock(&name, SOON, |conn| {
        let own = id(conn);
        let inner = conn.with_named_lock(&name, SOON, |_| Outcome::Ok(()));
        assert!(
            matches!(inner, Err(NamedLockError::AlreadyHeld { connection_id: Some(id), .. }) if id == own),
            "{inner:?}"
        );
        NamedLock::new(&name)?.reentrant().run(conn, |_| Ok(()))
    });
    outcome.unwrap();
    assert_free(name.as_str());
}

#[test]
fn a_section_over_another_lock_may_be_inside() {
    let (locks, a, b) = (generous(2), lock_name("outer"), lock_name("within"));
    let outcome = locks.with_named_lock(&a, SOON, |_| locks.with_named_lock(&b, SOON, |_| Outcome::Ok("in")));
    assert_eq!(outcome.unwrap(), "in");
    assert_free(a.as_str());
    assert_free(b.as_str());
}

/// The server sees nothing of it: neither thread waits there.
#[test]
fn two_threads_that_would_wait_for_each_other_get_a_deadlock() {
    let (locks, a, b) = (generous(4), lock_name("circle_a"), lock_name("circle_b"));
    let both_inside = Barrier::new(2);
    let nested = |outer, inner| {
        locks.with_named_lock(outer, SOON, |_| {
            both_inside.wait();
            locks.with_named_lock(inner, SOON, |_| Outcome::Ok(()))
        })
    };
    let outcomes = thread::scope(|scope| {
        let one = scope.spawn(|| nested(&a, &b));
        let other = scope.spawn(|| nested(&b, &a));
        [one.join().unwrap(), other.join().unwrap()]
    });
    let refused =
        outcomes.iter().filter(|outcome| matches!(outcome, Err(NamedLockError::Deadlock { source: None, .. })));
    assert_eq!(refused.count(), 1, "{outcomes:?}");
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1, "{outcomes:?}");
    assert_free(a.as_str());
    assert_free(b.as_str());
}

/// Who does not wait is in no circle.
#[test]
fn trying_for_the_lock_of_a_thread_that_waits_for_this_one_gives_none() {
    let (locks, a, b) = (generous(4), lock_name("tried_a"), lock_name("tried_b"));
    thread::scope(|scope| {
        let outcome: Outcome<_> = locks.with_named_lock(&a, SOON, |_| {
            let waits = || locks.with_named_lock(&b, SOON, |_| locks.with_named_lock(&a, SOON, |_| Outcome::Ok(())));
            let other = scope.spawn(waits);
            wait_until_in_line(&locks, &a, 1);
            Ok((locks.try_with_named_lock(&b, |_| Outcome::Ok(())), other))
        });
        let (tried, other) = outcome.unwrap();
        assert_eq!(tried.unwrap(), None);
        other.join().unwrap().unwrap();
    });
}

#[test]
fn a_reentrant_lock_runs_on_a_connection_of_the_pool() {
    let (locks, name) = (generous(2), lock_name("reentrant"));
    let lock = NamedLock::new(&name).unwrap().reentrant().timeout(SOON);
    let outcome = locks.run(&lock, |conn| lock.run(conn, |_| Outcome::Ok("in")));
    assert_eq!(outcome.unwrap(), "in");
    assert_free(name.as_str());
}
