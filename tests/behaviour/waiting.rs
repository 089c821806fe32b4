//! Waiting for a lock that somebody else holds.

use std::{
    sync::{
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use diesel_named_lock::{NamedLock, NamedLockError, NamedLockExt};

use testkit::world::*;

type Outcome<T> = Result<T, NamedLockError>;

/// How long a section waited in vain.
fn waits_in_vain(name: &str, timeout: Duration) -> Duration {
    let outcome: Outcome<()> = connect().with_named_lock(name, timeout, |_| unreachable!("it is held elsewhere"));
    match outcome {
        Err(NamedLockError::Timeout { name: reported, waited, .. }) => {
            assert_eq!(reported.as_str(), name);
            waited
        }
        other => panic!("{other:?}"),
    }
}

/// Never too early; and, since the machine may be busy with other tests, at least once within 50 ms.
#[track_caller]
fn assert_exact(timeout: Duration) {
    let name = fresh("exact");
    let _elsewhere = hold_elsewhere(&name);
    wait_until("a timeout that is not late", || {
        let waited = waits_in_vain(&name, timeout);
        assert!(waited >= timeout, "gave up after {waited:?} of {timeout:?}");
        waited - timeout <= Duration::from_millis(50)
    });
}

#[test]
fn a_timeout_of_one_millisecond_is_exact() {
    assert_exact(Duration::from_millis(1));
}

#[test]
fn a_timeout_of_a_part_of_a_second_is_exact() {
    assert_exact(Duration::from_millis(300));
}

#[test]
fn a_timeout_of_a_whole_second_is_exact() {
    assert_exact(Duration::from_secs(1));
}

#[test]
fn a_timeout_of_a_second_and_a_half_is_exact() {
    assert_exact(Duration::from_millis(1500));
}

#[test]
fn zero_asks_once_and_does_not_wait() {
    let name = fresh("zero");
    let elsewhere = hold_elsewhere(&name);
    assert!(waits_in_vain(&name, Duration::ZERO) < Duration::from_secs(1));
    drop(elsewhere);
    wait_until("the lock to be free", || holder(&name).is_none());
    let outcome: Outcome<_> = connect().with_named_lock(&name, Duration::ZERO, |_| Ok(()));
    outcome.unwrap();
}

#[test]
fn try_gives_none_for_a_lock_held_elsewhere_and_the_value_for_a_free_one() {
    let (mut conn, name) = (connect(), fresh("try"));
    let elsewhere = hold_elsewhere(&name);
    let busy: Outcome<Option<()>> = conn.try_with_named_lock(&name, |_| unreachable!("it is held elsewhere"));
    assert!(matches!(busy, Ok(None)), "{busy:?}");
    drop(elsewhere);
    wait_until("the lock to be free", || holder(&name).is_none());
    let free: Outcome<_> = conn.try_with_named_lock(&name, |_| Ok(7));
    assert_eq!(free.unwrap(), Some(7));
    assert_free(&name);
}

/// A section that starts to wait on a connection of its own; its outcome comes when it ends.
fn waiter(lock: NamedLock) -> (u64, mpsc::Receiver<Outcome<Duration>>) {
    let mut conn = connect();
    let id = id(&mut conn);
    let (outcome, receiver) = mpsc::channel();
    thread::spawn(move || {
        let section = lock.section(&mut conn, |_| ()).map(|section| section.waited);
        let _ = outcome.send(section);
    });
    wait_until_waiting(id);
    (id, receiver)
}

#[test]
fn a_waiter_gets_the_lock_as_soon_as_it_is_free_however_long_it_would_have_waited() {
    let timeouts = [
        Duration::from_secs(30),
        Duration::from_millis(30_300),
        Duration::from_secs(3600 * 24 * 365),
        Duration::from_millis(u64::from(u32::MAX)),
        Duration::MAX,
    ];
    let locks = timeouts.map(|timeout| NamedLock::new(fresh("patient")).unwrap().timeout(timeout));
    let forever = NamedLock::new(fresh("forever")).unwrap().wait_forever();
    for lock in locks.into_iter().chain([forever]) {
        let name = lock.names()[0].to_string();
        let mut elsewhere = hold_elsewhere(&name);
        let (_, outcome) = waiter(lock.clone());
        assert!(outcome.try_recv().is_err(), "{lock:?} does not wait");
        assert_eq!(release_lock(&mut elsewhere.conn, &name), Some(1));
        outcome.recv_timeout(SOON).unwrap_or_else(|_| panic!("{lock:?} is never woken")).unwrap();
    }
}

#[test]
fn waiters_are_served_first_come_first_served_whatever_their_timeouts() {
    let name = fresh("fifo");
    let mut elsewhere = hold_elsewhere(&name);
    let (order, served) = mpsc::channel();
    thread::scope(|scope| {
        for (place, timeout) in [30_500, 30_000, 30_250, 31_000].map(Duration::from_millis).into_iter().enumerate() {
            let (order, name) = (order.clone(), &name);
            let mut conn = connect();
            let id = id(&mut conn);
            scope.spawn(move || {
                let outcome: Outcome<()> = conn.with_named_lock(name, timeout, |_| {
                    order.send(place).unwrap();
                    Ok(())
                });
                outcome.unwrap();
            });
            wait_until_waiting(id);
        }
        assert_eq!(release_lock(&mut elsewhere.conn, &name), Some(1));
    });
    drop(order);
    assert_eq!(served.iter().collect::<Vec<_>>(), [0, 1, 2, 3]);
}

#[test]
fn the_time_waited_and_the_time_held_are_separate() {
    let name = fresh("times");
    let mut elsewhere = hold_elsewhere(&name);
    let lock = NamedLock::new(&name).unwrap().timeout(SOON);
    let mut conn = connect();
    let id = id(&mut conn);
    let pause = Duration::from_millis(30);
    let section = thread::scope(|scope| {
        let section = scope.spawn(|| lock.section(&mut conn, |_| thread::sleep(2 * pause)).unwrap());
        wait_until_waiting(id);
        thread::sleep(pause);
        assert_eq!(release_lock(&mut elsewhere.conn, &name), Some(1));
        section.join().unwrap()
    });
    assert!(section.waited >= pause, "{section:?}");
    assert!(section.held >= 2 * pause, "{section:?}");
    assert!(section.error.is_none());
}

#[test]
fn a_timeout_leaves_the_connection_as_good_as_it_was() {
    let (pool, name) = (pool_of_one(), fresh("after_timeout"));
    let mut conn = pool.get().unwrap();
    let before = id(&mut conn);
    let elsewhere = hold_elsewhere(&name);
    for timeout in [Duration::ZERO, Duration::from_millis(20), Duration::from_secs(1)] {
        let outcome: Outcome<()> = conn.with_named_lock(&name, timeout, |_| unreachable!("it is held elsewhere"));
        assert!(outcome.unwrap_err().is_timeout());
    }
    drop(elsewhere);
    wait_until("the lock to be free", || holder(&name).is_none());
    let outcome: Outcome<_> = conn.with_named_lock(&name, SOON, |_| Ok(()));
    outcome.unwrap();
    assert_eq!(id(&mut conn), before);
    drop(conn);
    assert_sound(&pool, &name);
}

/// On MySQL, an acquire that ends by its time limit may still hold the lock, if the grant comes at that very
/// moment. In a queue that moves about as fast as its waiters give up, that happens again and again.
#[test]
fn a_lock_granted_at_the_very_moment_of_the_timeout_is_not_leaked() {
    const WAITERS: u32 = 8;
    const HELD: Duration = Duration::from_millis(1);
    let name = fresh("photo_finish");
    let (granted, timed_out) = (AtomicU32::new(0), AtomicU32::new(0));
    server(); // Its start is not to take from the time.
    let end = Instant::now() + Duration::from_secs(2);
    thread::scope(|scope| {
        for waiter in 0..WAITERS {
            let (name, granted, timed_out) = (&name, &granted, &timed_out);
            scope.spawn(move || {
                let mut conn = connect();
                let mut timeout = HELD * WAITERS + Duration::from_micros(37) * waiter;
                while Instant::now() < end {
                    let outcome: Outcome<()> = conn.with_named_lock(name, timeout, |_| {
                        thread::sleep(HELD);
                        Ok(())
                    });
                    // Homes in on the time that the queue takes. A leak would be an `AlreadyHeld`.
                    match outcome {
                        Ok(()) => {
                            granted.fetch_add(1, Ordering::Relaxed);
                            // One that connects long before the others is never late.
                            timeout = timeout.saturating_sub(Duration::from_micros(100));
                        }
                        Err(NamedLockError::Timeout { .. }) => {
                            timed_out.fetch_add(1, Ordering::Relaxed);
                            timeout += Duration::from_micros(100);
                        }
                        Err(other) => panic!("{other:?}"),
                    }
                }
            });
        }
    });
    assert_free(&name);
    println!("{granted:?} granted, {timed_out:?} timed out");
    assert!(granted.into_inner() > 0 && timed_out.into_inner() > 0);
}
