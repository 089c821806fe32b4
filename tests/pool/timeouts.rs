//! One timeout for queue, checkout and server. The error says where the time went.

use std::{
    error::Error,
    thread,
    time::{Duration, Instant},
};

use diesel_named_lock::{NamedLock, NamedLockError, pool::NamedLockPool};

use testkit::world::*;

use crate::line::*;

const SHORT: Duration = Duration::from_millis(100);

struct Spent {
    waited: Duration,
    in_queue: Duration,
    in_checkout: Duration,
    holder: Option<u64>,
    message: String,
}

#[track_caller]
fn spent(outcome: Outcome<()>) -> Spent {
    match outcome {
        Err(error) => {
            let message = error.to_string();
            match error {
                NamedLockError::Timeout { waited, in_queue, in_checkout, holder, .. } => {
                    let holder = holder.map(|holder| holder.connection_id.get());
                    Spent { waited, in_queue, in_checkout, holder, message }
                }
                other => panic!("{other:?}"),
            }
        }
        Ok(()) => panic!("a timeout was expected"),
    }
}

fn waits_in_vain(locks: &Locks, name: impl AsRef<str>) -> Outcome<()> {
    waits_in_vain_for(SHORT, locks, name)
}

fn waits_in_vain_for(timeout: Duration, locks: &Locks, name: impl AsRef<str>) -> Outcome<()> {
    locks.with_named_lock(name.as_ref(), timeout, |_| unreachable!("it is not free"))
}

#[test]
fn time_behind_other_threads_is_told_with_the_holder_and_needs_no_connection() {
    let (locks, name) = (generous(1), lock_name("in_queue"));
    let outcome = locks.with_named_lock(&name, SOON, |conn| {
        let waits = || waits_in_vain(&locks, &name);
        Outcome::Ok((id(conn), thread::scope(|scope| scope.spawn(waits).join().unwrap())))
    });
    let (own, outcome) = outcome.unwrap();
    let spent = spent(outcome);
    assert!(spent.waited >= SHORT && spent.in_queue >= SHORT, "{:?} of {:?}", spent.in_queue, spent.waited);
    assert_eq!((spent.in_checkout, spent.holder), (Duration::ZERO, Some(own)));
    let message = &spent.message;
    assert!(
        message.contains("s behind other threads of this process), held by connection "),
        "the rest is left out: {message}"
    );
}

#[test]
fn a_pool_without_a_free_connection_is_reported_as_that() {
    // Most of it is for the checkout, on a busy machine, too.
    const TIMEOUT: Duration = Duration::from_secs(3);
    let (locks, name) = (generous(1), lock_name("in_checkout"));
    let _all = locks.pool().get().unwrap();
    match waits_in_vain_for(TIMEOUT, &locks, &name) {
        Err(error @ NamedLockError::NoConnection { waited, in_queue, .. }) => {
            assert!(waited >= TIMEOUT && in_queue < TIMEOUT / 2, "{in_queue:?} of {waited:?}");
            assert!(error.is_transient() && !error.is_timeout());
            let message = error.to_string();
            assert!(message.starts_with("no connection for a section") && !message.contains("not free"), "{message}");
            assert!(message.contains("timed out waiting for connection") && error.source().is_none(), "told once");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn time_on_the_server_is_reported_with_the_holder() {
    let (locks, name) = (generous(1), lock_name("on_server"));
    let elsewhere = hold_elsewhere(name.as_str());
    let spent = spent(waits_in_vain(&locks, &name));
    // The rest; how much the checkout takes depends on the machine.
    let on_server = spent.waited - spent.in_queue - spent.in_checkout;
    assert!(spent.waited >= SHORT && on_server > Duration::ZERO, "{on_server:?} of {:?}", spent.waited);
    assert_eq!(spent.holder, Some(elsewhere.id));
}

/// Time that was spent in the queue is not there for the server any more.
#[test]
fn the_timeout_is_one_for_all() {
    let (locks, name) = (generous(2), lock_name("one_timeout"));
    // Long enough that a busy machine does not take as long for what comes after the queue.
    const TIMEOUT: Duration = Duration::from_secs(4);
    const IN_QUEUE: Duration = Duration::from_secs(3);
    let (outcome, after_queue) = thread::scope(|scope| {
        let section = locks.section(&NamedLock::new(&name).unwrap(), |conn| {
            let waiter = scope.spawn(|| locks.with_named_lock(&name, TIMEOUT, |_| unreachable!("never free")));
            wait_until_in_line(&locks, &name, 1);
            thread::sleep(IN_QUEUE);
            // Held elsewhere before the waiter's turn comes.
            release_lock(conn, name.as_str());
            (hold_elsewhere(name.as_str()), waiter, Instant::now())
        });
        let (elsewhere, waiter, in_turn) = section.unwrap().value;
        let outcome = waiter.join().unwrap();
        drop(elsewhere);
        (outcome, in_turn.elapsed())
    });
    let spent = spent(outcome);
    assert!(spent.in_queue >= IN_QUEUE && spent.waited >= TIMEOUT, "{:?}", spent.waited);
    assert!(after_queue < TIMEOUT, "{after_queue:?}: the server had a timeout of its own");
}

#[test]
fn those_that_gave_up_do_not_hold_up_the_others() {
    let (locks, name) = (generous(2), lock_name("gave_up"));
    let (first, others) = in_line(
        &locks,
        &name,
        3,
        |_| {
            let give_up = || (0..4).all(|_| waits_in_vain(&locks, &name).is_err());
            thread::scope(|scope| {
                let threads: Vec<_> = (0..4).map(|_| scope.spawn(give_up)).collect();
                threads.into_iter().all(|thread| thread.join().unwrap())
            })
        },
        |_, number| number,
    );
    assert!(first.unwrap());
    assert_eq!(others.into_iter().map(Result::unwrap).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(locks.waiting(&name), 0);
}

#[test]
fn not_waiting_for_the_lock_waits_for_a_connection_as_long_as_the_pool_does() {
    let pool = |timeout| {
        let builder = diesel::r2d2::Pool::builder().max_size(1).connection_timeout(timeout);
        NamedLockPool::new(builder.build_unchecked(Manager::new(server().url())))
    };
    let name = lock_name("no_wait");
    let locks = pool(SHORT);
    let _all = locks.pool().get_timeout(SOON).unwrap();
    let outcome: Outcome<Option<()>> = locks.try_with_named_lock(&name, |_| unreachable!("there is no connection"));
    assert!(matches!(outcome, Err(NamedLockError::NoConnection { .. })), "{outcome:?}");
    let locks = pool(SOON);
    let all = locks.pool().get().unwrap();
    let outcome = thread::scope(|scope| {
        let lock = NamedLock::new(&name).unwrap().no_wait();
        let waiter = scope.spawn({
            let locks = &locks;
            move || locks.run(&lock, |_| Outcome::Ok("in"))
        });
        drop(all);
        waiter.join().unwrap()
    });
    assert_eq!(outcome.unwrap(), "in");
}

#[test]
fn waiting_for_ever_ends_with_the_lock() {
    let (locks, name) = (generous(2), lock_name("for_ever"));
    let lock = NamedLock::new(&name).unwrap().wait_forever();
    let elsewhere = hold_elsewhere(name.as_str());
    thread::scope(|scope| {
        let one = scope.spawn(|| locks.run(&lock, |_| Outcome::Ok(())));
        wait_until("a thread to wait on the server", || in_use(&locks) == 1);
        let other = scope.spawn(|| locks.run(&lock, |_| Outcome::Ok(())));
        wait_until_in_line(&locks, &name, 1);
        drop(elsewhere);
        assert!(one.join().unwrap().is_ok() && other.join().unwrap().is_ok());
    });
}

#[test]
fn a_name_that_is_not_valid_is_refused_before_anything_else() {
    let locks = generous(1);
    let _all = locks.pool().get().unwrap();
    let outcome: Outcome<()> = locks.with_named_lock("", SOON, |_| unreachable!("no name"));
    assert!(matches!(outcome, Err(NamedLockError::InvalidName(_))), "{outcome:?}");
}
