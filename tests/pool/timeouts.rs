//! One timeout for queue, checkout and server; and it is told where the time went.

use std::{
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
    locks.with_named_lock(name.as_ref(), SHORT, |_| unreachable!("it is not free"))
}

#[test]
fn time_behind_other_threads_is_told() {
    let (locks, name) = (generous(2), lock_name("in_queue"));
    let outcome = locks.with_named_lock(&name, SOON, |_| {
        Outcome::Ok(thread::scope(|scope| scope.spawn(|| waits_in_vain(&locks, &name)).join().unwrap()))
    });
    let spent = spent(outcome.unwrap());
    assert!(spent.waited >= SHORT && spent.in_queue >= SHORT, "{:?} of {:?}", spent.in_queue, spent.waited);
    assert_eq!((spent.in_checkout, spent.holder), (Duration::ZERO, None));
    assert!(spent.message.contains("behind other threads of this process"), "{}", spent.message);
}

#[test]
fn a_pool_without_a_free_connection_is_told_as_that() {
    let (locks, name) = (generous(1), lock_name("in_checkout"));
    let _all = locks.pool().get().unwrap();
    match waits_in_vain(&locks, &name) {
        Err(error @ NamedLockError::NoConnection { waited, in_queue, .. }) => {
            assert!(waited >= SHORT && in_queue < SHORT / 2, "{in_queue:?} of {waited:?}");
            assert!(error.is_transient() && !error.is_timeout());
            let message = error.to_string();
            assert!(message.starts_with("no connection for a section") && !message.contains("not free"), "{message}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn time_on_the_server_is_told_with_the_holder() {
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
    const TIMEOUT: Duration = Duration::from_millis(600);
    let start = Instant::now();
    let outcome = thread::scope(|scope| {
        let section = locks.section(&NamedLock::new(&name).unwrap(), |conn| {
            let waiter = scope.spawn(|| locks.with_named_lock(&name, TIMEOUT, |_| unreachable!("never free")));
            wait_until_in_line(&locks, &name, 1);
            thread::sleep(TIMEOUT / 2);
            // Held elsewhere before the waiter's turn comes.
            release_lock(conn, name.as_str());
            (hold_elsewhere(name.as_str()), waiter)
        });
        let (elsewhere, waiter) = section.unwrap().value;
        let outcome = waiter.join().unwrap();
        drop(elsewhere);
        outcome
    });
    let spent = spent(outcome);
    assert!(spent.in_queue >= TIMEOUT / 2 && spent.waited >= TIMEOUT, "{:?}", spent.waited);
    assert!(start.elapsed() < TIMEOUT * 2, "{:?}", start.elapsed());
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
