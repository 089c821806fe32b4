//! Waiting in the process.

use std::{
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::Duration,
};

use diesel::{
    prelude::*,
    r2d2::{
        Pool,
        event::{CheckinEvent, HandleEvent},
    },
    sql_query,
};
use diesel_named_lock::{LockName, NamedLock, pool::NamedLockPool};

use testkit::world::*;

use crate::line::*;

#[test]
fn a_thread_that_waits_uses_no_connection() {
    let (locks, name) = (generous(2), lock_name("no_connection"));
    let (first, others) =
        in_line(&locks, &name, 16, |_| (in_use(&locks), locks.pool().get().is_ok()), |_, _| in_use(&locks));
    assert_eq!(first.unwrap(), (1, true), "the holder's own; and another is free for the rest of the application");
    for in_use in others {
        assert_eq!(in_use.unwrap(), 1);
    }
    assert_eq!(in_use(&locks), 0);
}

#[test]
fn one_thread_only_waits_on_the_server() {
    let (locks, name) = (generous(4), lock_name("one_on_server"));
    let elsewhere = hold_elsewhere(name.as_str());
    thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| locks.with_named_lock(&name, SOON, |_| Outcome::Ok(in_use(&locks)))))
            .collect();
        wait_until_in_line(&locks, &name, 7);
        assert_eq!(in_use(&locks), 1);
        drop(elsewhere);
        for thread in threads {
            assert_eq!(thread.join().unwrap().unwrap(), 1);
        }
    });
}

#[test]
fn threads_are_served_in_the_order_in_which_they_came() {
    let (locks, name, order) = (generous(4), lock_name("fifo"), Log::default());
    assert_served(in_line(&locks, &name, 12, |_| (), |_, number| order.add(number)));
    assert_eq!(order.entries(), (0..12).collect::<Vec<_>>());
}

/// Also if every section acquires and releases.
#[test]
fn threads_are_served_in_their_order_without_hand_offs_too() {
    let (name, order) = (lock_name("fifo_plain"), Log::default());
    let locks = NamedLockPool::builder(pool(4)).max_hand_offs(0).build();
    assert_served(in_line(&locks, &name, 12, |_| (), |_, number| order.add(number)));
    assert_eq!(order.entries(), (0..12).collect::<Vec<_>>());
}

#[test]
fn sections_never_overlap() {
    let (locks, name) = (NamedLockPool::new(pool(3)), lock_name("overlap"));
    let (inside, sections) = (AtomicU32::new(0), AtomicU32::new(0));
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..50 {
                    let section = |conn: &mut Conn| {
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two sections at a time");
                        sql_query("SELECT 1").execute(conn)?;
                        assert_eq!(
                            holder(name.as_str()),
                            Some(id(conn)),
                            "the server sees the lock on this very session"
                        );
                        inside.fetch_sub(1, Ordering::SeqCst);
                        sections.fetch_add(1, Ordering::Relaxed);
                        Ok(())
                    };
                    let outcome: Outcome<()> = locks.with_named_lock(&name, SOON, section);
                    outcome.unwrap();
                }
            });
        }
    });
    assert_eq!(sections.into_inner(), 16 * 50);
    assert_eq!(locks.total_waiting(), 0);
    assert_free(name.as_str());
}

/// Otherwise the next one would need a second connection, or wait for this one.
#[test]
fn a_connection_is_back_in_the_pool_before_the_next_thread_is_called() {
    static LOCKS: OnceLock<(Locks, LockName)> = OnceLock::new();
    static IN_LINE: Mutex<Vec<usize>> = Mutex::new(Vec::new());

    #[derive(Debug)]
    struct AtCheckIn;

    impl HandleEvent for AtCheckIn {
        fn handle_checkin(&self, _: CheckinEvent) {
            let (locks, name) = LOCKS.get().expect("the pool is in use");
            IN_LINE.lock().unwrap().push(locks.waiting(name));
        }
    }

    let pool = Pool::builder().max_size(1).event_handler(Box::new(AtCheckIn));
    let pool = pool.build(Manager::new(server().url())).expect("a pool");
    let locks = NamedLockPool::builder(pool).max_hand_offs(0).build();
    let (locks, name) = LOCKS.get_or_init(|| (locks, lock_name("check_in")));
    assert_served(in_line(locks, name, 2, |_| (), |_, _| ()));
    assert_eq!(*IN_LINE.lock().unwrap(), [2, 1, 0]);
}

#[test]
fn locks_of_other_names_do_not_wait() {
    let (locks, name, other) = (generous(2), lock_name("name"), lock_name("other"));
    let outcome: Outcome<_> = locks.with_named_lock(&name, SOON, |_| {
        thread::scope(|scope| {
            scope.spawn(|| locks.with_named_lock(&other, SOON, |_| Outcome::Ok("in"))).join().unwrap()
        })
    });
    assert_eq!(outcome.unwrap(), "in");
}

#[test]
fn clones_are_one_queue() {
    let (locks, name) = (generous(2), lock_name("clones"));
    let clone = locks.clone();
    let (first, _) = in_line(&locks, &name, 3, |_| (clone.waiting(&name), clone.total_waiting()), |_, _| ());
    assert_eq!(first.unwrap(), (3, 3));
    assert_eq!((clone.waiting(&name), clone.total_waiting()), (0, 0));
    assert_eq!(format!("{clone:?}"), "NamedLockPool { waiting: 0, .. }");
}

#[test]
fn a_section_over_several_locks_excludes_those_over_one_of_them() {
    let (locks, a, b) = (generous(4), lock_name("several_a"), lock_name("several_b"));
    let both = NamedLock::all_of([&b, &a]).unwrap().timeout(SOON);
    let inside = AtomicU32::new(0);
    let section = |_: &mut Conn| {
        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two sections at a time");
        thread::sleep(Duration::from_millis(1));
        inside.fetch_sub(1, Ordering::SeqCst);
        Outcome::Ok(())
    };
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..10).for_each(|_| locks.with_named_lock(&a, SOON, section).unwrap()));
            scope.spawn(|| (0..10).for_each(|_| locks.run(&both, section).unwrap()));
        }
    });
    assert_free(a.as_str());
    assert_free(b.as_str());
}

#[test]
fn trying_returns_none_if_a_thread_or_a_session_holds_the_lock() {
    let (locks, name) = (generous(2), lock_name("try"));
    let try_it = || locks.try_with_named_lock(&name, |_| Outcome::Ok("in")).unwrap();
    assert_eq!(try_it(), Some("in"));
    let outcome: Outcome<_> =
        locks.with_named_lock(&name, SOON, |_| Ok(thread::scope(|scope| scope.spawn(try_it).join().unwrap())));
    assert_eq!(outcome.unwrap(), None);
    let elsewhere = hold_elsewhere(name.as_str());
    assert_eq!(try_it(), None);
    drop(elsewhere);
    wait_until("the lock to be free", || try_it() == Some("in"));
}
