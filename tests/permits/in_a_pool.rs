//! Permits in the queue of a process.

use std::{
    sync::{
        Arc, Barrier,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::Duration,
};

use diesel::r2d2::Pool;
use diesel_named_lock::{
    LockName, NamedLockError,
    permits::SharedLock,
    pool::{HandleLockEvent, HeldEvent, NamedLockPool, WaitedEvent},
};

use testkit::world::*;

use crate::stage::*;

fn locks(size: u32) -> NamedLockPool<Manager> {
    let pool = Pool::builder().max_size(size).connection_timeout(SOON).build(Manager::new(server().url()));
    NamedLockPool::new(pool.unwrap())
}

fn in_use(locks: &NamedLockPool<Manager>) -> u32 {
    let state = locks.pool().state();
    state.connections - state.idle_connections
}

#[test]
fn threads_share_the_permits() {
    const COUNT: u32 = 3;
    let (locks, name) = (locks(8), fresh("pool"));
    let permit = permits(&name, COUNT).permit().timeout(LONG);
    let (running, most, runs) = (AtomicU32::new(0), AtomicU32::new(0), AtomicU32::new(0));
    thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| {
                for _ in 0..8 {
                    let outcome: Outcome<()> = locks.run(&permit, |_| {
                        most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        thread::sleep(Duration::from_millis(2));
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
    assert_eq!((in_use(&locks), locks.total_waiting()), (0, 0));
    assert_all_free(&name, COUNT);
}

#[test]
fn threads_that_wait_need_one_connection_together() {
    let (locks, name) = (locks(8), fresh("one_connection"));
    let permit = permits(&name, 2).permit().timeout(LONG);
    let (one, two) = (locks.acquire(&permit).unwrap(), locks.acquire(&permit).unwrap());
    thread::scope(|scope| {
        let threads: Vec<_> = (0..6).map(|_| scope.spawn(|| locks.run(&permit, |_| Outcome::Ok(())))).collect();
        wait_until("the threads to be in line", || locks.waiting(&permit.names()[0]) == 5);
        wait_until("the first in line", || holder(&turnstile(&name)).is_some());
        assert_eq!(in_use(&locks), 3, "two guards, and the first in line");
        one.release().unwrap();
        for thread in threads {
            thread.join().unwrap().unwrap();
        }
    });
    two.release().unwrap();
    assert_all_free(&name, 2);
}

/// Whoever is just acquiring one is not in the way of the others.
#[test]
fn threads_that_do_not_wait_get_a_permit_each_if_there_are_as_many() {
    const COUNT: u32 = 6;
    let (locks, start) = (locks(COUNT), Barrier::new(COUNT as usize));
    for _ in 0..10 {
        let permit = permits(&fresh("no_wait"), COUNT).permit();
        thread::scope(|scope| {
            let guards: Vec<_> = (0..COUNT)
                .map(|_| {
                    scope.spawn(|| {
                        start.wait();
                        locks.acquire(&permit.clone().no_wait())
                    })
                })
                .collect();
            let guards: Result<Vec<_>, _> = guards.into_iter().map(|thread| thread.join().unwrap()).collect();
            assert_eq!(guards.unwrap().len(), COUNT as usize);
        });
    }
}

#[test]
fn a_guard_of_a_pool_leaves_the_other_permits_to_other_threads() {
    let (locks, name) = (locks(4), fresh("guards"));
    let permit = permits(&name, 2).permit().no_wait();
    let (one, two) = (locks.acquire(&permit).unwrap(), locks.acquire(&permit).unwrap());
    assert_eq!([&one, &two].map(|guard| guard.names()[0].to_string()), [slot(&name, 1), slot(&name, 2)]);
    assert_eq!(locks.try_run(&permit, |_| Outcome::Ok(())).unwrap(), None);
    one.release().unwrap();
    assert_eq!(locks.try_run(&permit, |_| Outcome::Ok(())).unwrap(), Some(()));
    drop(two);
    assert_all_free(&name, 2);
}

#[test]
fn shared_sections_of_a_process_run_beside_each_other_and_an_exclusive_one_has_its_turn() {
    let (locks, name) = (locks(4), fresh("shared"));
    let lock = SharedLock::new(&*name).unwrap();
    let family = LockName::new(format!("{name}:shared")).unwrap();
    let (one, two) = (locks.acquire(&lock.shared()).unwrap(), locks.acquire(&lock.shared()).unwrap());
    thread::scope(|scope| {
        let writer = scope.spawn(|| locks.run(&lock.exclusive().timeout(LONG), |_| Outcome::Ok(())));
        let turnstile = format!("{name}:shared#wait");
        wait_until("the writer to be first in line", || holder(&turnstile).is_some());
        let reader = scope.spawn(|| locks.run(&lock.shared().timeout(LONG), |_| Outcome::Ok(())));
        wait_until("the reader to be in line", || locks.waiting(&family) == 1);
        one.release().unwrap();
        two.release().unwrap();
        writer.join().unwrap().unwrap();
        reader.join().unwrap().unwrap();
    });
    let outcome: Outcome<Outcome<()>> = locks.run(&lock.exclusive(), |_| Ok(locks.run(&lock.exclusive(), |_| Ok(()))));
    let nested = outcome.unwrap();
    assert!(matches!(nested, Err(NamedLockError::AlreadyHeld { .. })), "{nested:?}");
}

#[derive(Debug, Default)]
struct Seen(AtomicU32);

impl HandleLockEvent for Seen {
    fn handle_waited(&self, event: WaitedEvent<'_>) {
        assert!(event.names[0].as_str().ends_with(":permit"), "{event:?}");
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn handle_held(&self, event: HeldEvent<'_>) {
        assert!(event.names[0].as_str().ends_with(":permit"), "{event:?}");
        self.0.fetch_add(100, Ordering::SeqCst);
    }
}

#[test]
fn events_know_permits_by_their_common_name() {
    let (seen, name) = (Arc::new(Seen::default()), fresh("events"));
    let locks = NamedLockPool::builder(pool_of_one()).event_handler(Box::new(seen.clone())).build();
    locks.run(&permits(&name, 3).permit(), |_| Outcome::Ok(())).unwrap();
    assert_eq!(seen.0.load(Ordering::SeqCst), 101);
}
