//! Hosts that vanish: how long their locks outlive them.

use std::{
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use diesel::{
    MysqlConnection,
    connection::{Instrumentation, InstrumentationEvent, SimpleConnection},
    prelude::*,
    r2d2::{ConnectionManager, Pool},
    sql_query,
};
use diesel_named_lock::{
    IdleLimit, LockName, NamedLock, NamedLockConnection, NamedLockError, NamedLockExt,
    pool::{HandedOffEvent, HandleLockEvent, NamedLockPool},
};

use testkit::world::*;

use testkit::proxy::Proxy;

use testkit::round_trips::{asked, asked_by};

type Outcome<T> = Result<T, NamedLockError>;

const BOUND: Duration = Duration::from_secs(1);
/// The server ends the session after the bound, and takes a moment for it, longer on a busy machine. Its own timeouts are half a
/// minute or more.
const MARGIN: Duration = Duration::from_secs(10);

fn limit(bound: Duration) -> IdleLimit {
    IdleLimit::new(bound).unwrap()
}

fn bounded(name: &str) -> NamedLock {
    bounded_by(BOUND, name)
}

/// By `SOON`, the server does not end the session of a test that is late on a busy machine.
fn bounded_by(bound: Duration, name: &str) -> NamedLock {
    NamedLock::new(name).unwrap().timeout(SOON).idle_limit(bound)
}

/// `wait_timeout`, `net_read_timeout`, `net_write_timeout`.
fn timeouts<C: NamedLockConnection>(conn: &mut C) -> [i64; 3] {
    ["wait_timeout", "net_read_timeout", "net_write_timeout"]
        .map(|name| number(conn, &format!("SELECT CAST(@@{name} AS SIGNED) AS number")).unwrap())
}

fn bounded_pool(url: &str) -> Pool<Manager> {
    let builder = Pool::builder().max_size(1).connection_timeout(SOON);
    builder.connection_customizer(Box::new(limit(BOUND))).build(ConnectionManager::new(url)).unwrap()
}

#[test]
fn a_bound_that_a_server_can_not_keep_is_refused() {
    let year = Duration::from_secs(365 * 24 * 60 * 60);
    for invalid in [Duration::ZERO, Duration::from_millis(999), year + Duration::from_nanos(1), Duration::MAX] {
        assert!(IdleLimit::new(invalid).is_err(), "{invalid:?}");
    }
    let lock = NamedLock::new(fresh("bounds")).unwrap();
    for (bound, seconds) in [(BOUND, 1), (Duration::from_millis(1999), 1), (year, 28_800)] {
        let inside: Outcome<_> = lock.clone().idle_limit(bound).run(&mut connect(), |conn| Ok(timeouts(conn)));
        assert_eq!(inside.unwrap()[0], seconds, "{bound:?}");
    }
}

#[test]
fn every_connection_of_a_pool_has_the_bound_if_its_timeouts_are_longer() {
    let default = timeouts(&mut connect());
    assert!(default.iter().all(|&seconds| seconds > 1), "{default:?}");
    assert_eq!(timeouts(&mut bounded_pool(server().url()).get().unwrap()), [1; 3]);
    let pool = Pool::builder().max_size(1).connection_customizer(Box::new(limit(40 * BOUND)));
    let pool = pool.build(Manager::new(server().url())).unwrap();
    assert_eq!(timeouts(&mut pool.get().unwrap()), default.map(|seconds| seconds.min(40)));
}

#[test]
fn a_new_connection_of_a_bounded_pool_costs_four_round_trips_more() {
    let plain = asked(&mut pool_of_one().get().unwrap());
    let bounded = asked(&mut bounded_pool(server().url()).get().unwrap());
    assert_eq!((bounded.0 - plain.0, bounded.1 - plain.1), (2, 2));
}

/// A waiter gets the lock soon after the holder's host has gone silent.
fn the_next_waiter_gets_it_in_time(name: &str, section: impl FnOnce(&Proxy) -> Outcome<()> + Send) {
    let network = Proxy::to(server());
    let mut waiter = connect();
    thread::scope(|scope| {
        let vanished = scope.spawn(|| section(&network));
        wait_until("the section", || holder(name).is_some());
        let start = Instant::now();
        let outcome: Outcome<_> = waiter.with_named_lock(name, SOON, |_| Ok(start.elapsed()));
        // Its host is not really gone: it hears now what has become of it.
        network.close();
        let outcome = (outcome, vanished.join().unwrap());
        assert!(
            matches!(outcome, (Ok(waited), Err(NamedLockError::Lost { .. })) if waited < BOUND + MARGIN),
            "{outcome:?}"
        );
    });
}

#[test]
fn a_host_that_vanishes_keeps_the_lock_of_a_bounded_connection_for_the_bound() {
    let name = fresh("vanishes_pool");
    the_next_waiter_gets_it_in_time(&name, |network| {
        bounded_pool(network.url()).get().unwrap().with_named_lock(&name, SOON, |_| {
            network.silence();
            Ok(())
        })
    });
}

#[test]
fn a_host_that_vanishes_keeps_the_lock_of_a_bounded_section_for_the_bound() {
    let name = fresh("vanishes");
    the_next_waiter_gets_it_in_time(&name, |network| {
        bounded(&name).run(&mut MysqlConnection::establish(network.url()).unwrap(), |_| {
            network.silence();
            Ok(())
        })
    });
}

#[test]
fn a_host_that_vanishes_between_two_pings_keeps_the_lock_for_the_bound() {
    let name = fresh("vanishes_pings");
    the_next_waiter_gets_it_in_time(&name, |network| {
        bounded(&name).run(&mut MysqlConnection::establish(network.url()).unwrap(), |conn| {
            conn.keep_alive_while(BOUND / 5, |watch| {
                thread::sleep(BOUND / 2);
                network.silence();
                wait_until("the bound to pass", || watch.silent_for() > BOUND);
            });
            Ok(())
        })
    });
}

/// The server is about to write more than the network's buffers hold.
#[test]
fn a_host_that_vanishes_in_the_middle_of_an_answer_keeps_the_lock_for_the_bound() {
    let name = fresh("vanishes_answer");
    the_next_waiter_gets_it_in_time(&name, |network| {
        bounded(&name).run(&mut MysqlConnection::establish(network.url()).unwrap(), |conn| {
            let own = id(conn);
            thread::scope(|scope| {
                scope.spawn(|| {
                    wait_until("the statement to run", || is_in_state(own, "User sleep"));
                    network.silence();
                });
                // Three rows of 15 MB.
                conn.batch_execute(
                    "SELECT REPEAT('x', 15000000) FROM (SELECT SLEEP(0.5) UNION ALL SELECT 1 UNION ALL SELECT 1) three",
                )
            })
            .expect_err("the answer does not get through");
            Ok(())
        })
    });
}

#[test]
fn a_host_that_vanishes_while_it_waits_is_granted_the_lock_and_keeps_it_for_the_bound() {
    let name = fresh("vanishes_waiting");
    let elsewhere = hold_elsewhere(&name);
    let network = Proxy::to(server());
    let mut conn = MysqlConnection::establish(network.url()).unwrap();
    let own = id(&mut conn);
    thread::scope(|scope| {
        let vanished = scope.spawn(|| bounded(&name).run(&mut conn, |_| Outcome::Ok(())));
        wait_until_waiting(own);
        network.silence();
        drop(elsewhere);
        wait_until("the grant", || holder(&name) == Some(own));
        let start = Instant::now();
        wait_until("the lock to be free", || holder(&name).is_none());
        let kept = start.elapsed();
        network.close();
        assert!(vanished.join().unwrap().is_err());
        assert!(kept < BOUND + MARGIN, "{kept:?}");
    });
}

#[test]
fn work_that_is_idle_for_longer_than_the_bound_loses_its_lock() {
    let (mut conn, name) = (connect(), fresh("bound_idle"));
    let outcome = bounded(&name).run(&mut conn, |_| {
        wait_until("the server to end the idle session", || holder(&name).is_none());
        Outcome::Ok(())
    });
    assert!(matches!(outcome, Err(NamedLockError::Lost { .. })), "{outcome:?}");
}

#[test]
fn work_that_is_kept_alive_does_not() {
    let (mut conn, name) = (connect(), fresh("bound_kept_alive"));
    // Long enough for a ping that is late on a busy machine.
    let limit = 3 * BOUND;
    let outcome = NamedLock::new(&*name).unwrap().idle_limit(limit).run(&mut conn, |conn| {
        conn.keep_alive_while(BOUND / 5, |_| thread::sleep(limit + BOUND));
        Outcome::Ok(())
    });
    outcome.unwrap();
}

#[test]
fn the_timeouts_are_restored_on_every_way_out() {
    let (pool, name) = (pool_of_one(), fresh("restored"));
    let mut conn = pool.get().unwrap();
    sql_query("SET SESSION wait_timeout = 4321, net_read_timeout = 43, net_write_timeout = 1")
        .execute(&mut conn)
        .unwrap();
    let (own, before) = (id(&mut conn), [4321, 43, 1]);
    let lock = bounded_by(SOON, &name);
    let check = |conn: &mut _, what: &str| {
        assert_eq!((id(conn), timeouts(conn)), (own, before), "{what}");
        assert_free(&name);
    };

    assert_eq!(lock.run(&mut conn, |conn| Outcome::Ok(timeouts(conn))).unwrap(), [20, 20, 1]);
    check(&mut conn, "Ok");
    lock.run(&mut conn, |_| Err::<(), _>(NamedLockError::Database(diesel::NotFound))).unwrap_err();
    check(&mut conn, "Err");
    lock.run(&mut conn, |conn| Ok(begin(conn)?)).map_err(|error: NamedLockError| error).unwrap_err();
    check(&mut conn, "a transaction left open");
    let _ = catch_unwind(AssertUnwindSafe(|| lock.run(&mut conn, |_| -> Outcome<()> { panic!("on purpose") })));
    check(&mut conn, "a panic");
    let elsewhere = hold_elsewhere(&name);
    assert!(lock.clone().no_wait().run(&mut conn, |_| Outcome::Ok(())).unwrap_err().is_timeout());
    drop(elsewhere);
    wait_until("the other one to be gone", || holder(&name).is_none());
    check(&mut conn, "a timeout");
}

#[test]
fn an_inner_section_restores_the_bound_of_the_outer_one() {
    let (mut conn, name) = (connect(), fresh("bound_nested"));
    let default = timeouts(&mut conn);
    let outer = NamedLock::new(&*name).unwrap().idle_limit(SOON + 5 * BOUND);
    let inner = bounded_by(SOON, &name).reentrant();
    let seen = outer.run(&mut conn, |conn| {
        let inside = inner.run(conn, |conn| Outcome::Ok(timeouts(conn)))?;
        Outcome::Ok([inside, timeouts(conn)])
    });
    assert_eq!(seen.unwrap(), [[20; 3], [25; 3]]);
    assert_eq!(timeouts(&mut conn), default);
}

#[test]
fn the_timeouts_of_a_connection_that_was_swapped_in_are_left_alone() {
    let (mut conn, mut other, name) = (connect(), connect(), fresh("bound_swapped"));
    sql_query("SET SESSION wait_timeout = 1234").execute(&mut other).unwrap();
    let before = timeouts(&mut other);
    let outcome = bounded_by(SOON, &name).run(&mut conn, |conn| {
        mem::swap(conn, &mut other);
        Outcome::Ok(())
    });
    assert!(matches!(outcome, Err(NamedLockError::ConnectionSwapped { .. })), "{outcome:?}");
    assert_eq!(timeouts(&mut conn), before);
}

/// A hook of the application.
struct PanicsOnSet;

impl Instrumentation for PanicsOnSet {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        if let InstrumentationEvent::FinishQuery { query, .. } = event {
            assert!(!query.to_string().starts_with("SET SESSION wait_timeout"), "the hook's own panic");
        }
    }
}

/// The server does not end the session while a test waits for it.
fn loosely_bounded(name: &str) -> NamedLock {
    bounded_by(2 * SOON, name)
}

#[test]
fn a_session_whose_timeouts_can_not_be_restored_is_killed() {
    let (pool, name) = (pool_of_one(), fresh("not_restored"));
    let mut conn = pool.get().unwrap();
    let own = id(&mut conn);
    let outcome = loosely_bounded(&name).run(&mut conn, |conn| {
        conn.set_instrumentation(PanicsOnSet);
        Outcome::Ok("precious")
    });
    assert_eq!(outcome.unwrap(), "precious", "it was alone to the end");
    wait_until("the session to be ended", || !is_alive(own));
    drop(conn);
    assert_sound(&pool, &name);
}

#[test]
fn a_session_whose_timeouts_were_shortened_in_vain_is_killed() {
    let (pool, name) = (pool_of_one(), fresh("shortened"));
    let mut conn = pool.get().unwrap();
    let own = id(&mut conn);
    conn.set_instrumentation(PanicsOnSet);
    let section =
        || loosely_bounded(&name).run(&mut conn, |_| -> Outcome<()> { unreachable!("the hook panics before") });
    let unwound = catch_unwind(AssertUnwindSafe(section));
    assert_eq!(unwound.unwrap_err().downcast_ref(), Some(&"the hook's own panic"));
    wait_until("the session to be ended", || !is_alive(own));
    drop(conn);
    assert_sound(&pool, &name);
}

#[test]
fn it_costs_three_round_trips_more() {
    let (mut conn, name) = (connect(), fresh("bound_cost"));
    let section = |conn: &mut MysqlConnection| bounded_by(SOON, &name).run(conn, |_| Outcome::Ok(())).unwrap();
    section(&mut conn);
    assert_eq!(asked_by(&mut conn, section), (5, 0));
}

#[test]
fn a_connection_that_a_section_can_not_use_is_refused_without_asking() {
    let (mut conn, name) = (connect(), fresh("bound_refused"));
    conn.transaction(|conn| {
        let refused = |conn: &mut MysqlConnection| {
            let outcome = bounded_by(SOON, &name).run(conn, |_| Outcome::Ok(()));
            assert!(matches!(outcome, Err(NamedLockError::OpenTransaction { .. })), "{outcome:?}");
        };
        assert_eq!(asked_by(conn, refused), (0, 0));
        QueryResult::Ok(())
    })
    .unwrap();
}

#[test]
fn a_pool_of_locks_replaces_a_dead_connection_also_under_a_bound() {
    let pool = Pool::builder().max_size(1).test_on_check_out(false).connection_timeout(SOON);
    let locks = NamedLockPool::new(pool.build(Manager::new(server().url())).unwrap());
    let own = id(&mut locks.pool().get().unwrap());
    kill(own);
    wait_until("the killed session to be gone", || !is_alive(own));
    let session = locks.run(&bounded_by(SOON, &fresh("bound_dead")), |conn| Outcome::Ok(id(conn))).unwrap();
    assert_ne!(session, own);
}

#[derive(Debug, Default, Clone)]
struct HandOffs(Arc<AtomicU32>);

impl HandleLockEvent for HandOffs {
    fn handle_handed_off(&self, _: HandedOffEvent<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Between two sections of a hand-off, the session would not be bounded.
#[test]
fn a_bounded_section_is_not_handed_a_lock_and_hands_none_on() {
    let (pool, name, hand_offs) = (pool_of_one(), LockName::new(fresh("bound_pool")).unwrap(), HandOffs::default());
    let default = timeouts(&mut pool.get().unwrap());
    let locks = NamedLockPool::builder(pool).max_hand_off_time(SOON).event_handler(Box::new(hand_offs.clone())).build();
    let plain = NamedLock::new(&name).unwrap().timeout(SOON);
    let (locks, bounded) = (&locks, bounded_by(SOON, name.as_str()));
    thread::scope(|scope| {
        let line = [(&plain, default), (&bounded, [20; 3]), (&plain, default)];
        let wait_in_line = |number: usize, (lock, expected): (&'_ NamedLock, [i64; 3])| {
            let lock = lock.clone();
            scope.spawn(move || assert_eq!(locks.run(&lock, |conn| Outcome::Ok(timeouts(conn))).unwrap(), expected));
            wait_until("the next one in line", || locks.waiting(&name) == number + 1);
        };
        let first = locks.run(&plain, |_| {
            line.into_iter().enumerate().for_each(|(number, next)| wait_in_line(number, next));
            Outcome::Ok(())
        });
        first.unwrap();
    });
    assert_eq!(hand_offs.0.load(Ordering::Relaxed), 1, "from the first one to the second");
}
