//! Statements of a section that are killed, cut short by a time limit, or chosen as a deadlock's victim.

use std::{
    sync::{
        Barrier,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use diesel::{connection::SimpleConnection, prelude::*};
use diesel_named_lock::{NamedLock, NamedLockError, NamedLockExt};

use testkit::{striking::Striking, world::*};

type Outcome<T> = Result<T, NamedLockError>;

/// Runs a waiting section, lets `end_it` do something to its session, and returns the outcome and the connection.
fn interrupt(name: &str, timeout: Duration, end_it: impl FnOnce(u64)) -> (Outcome<()>, MysqlConnection) {
    let mut conn = connect();
    let id = id(&mut conn);
    thread::scope(|scope| {
        let section = scope.spawn(|| {
            let outcome = conn.with_named_lock(name, timeout, |_| unreachable!("it is held elsewhere"));
            (outcome, conn)
        });
        wait_until_waiting(id);
        end_it(id);
        section.join().unwrap()
    })
}

#[test]
fn a_query_killed_while_waiting_is_interrupted_and_the_connection_stays_good() {
    for timeout in [Duration::from_secs(30), Duration::from_millis(30_500)] {
        let name = fresh("kill_query");
        let elsewhere = hold_elsewhere(&name);
        let (outcome, mut conn) = interrupt(&name, timeout, kill_query);
        match &outcome {
            Err(error @ NamedLockError::Interrupted { .. }) => assert!(error.is_transient()),
            other => panic!("{other:?}"),
        }
        assert_eq!(holder(&name), Some(elsewhere.id), "nobody else's lock was touched");
        drop(elsewhere);
        wait_until("the lock to be free", || holder(&name).is_none());
        let again: Outcome<_> = conn.with_named_lock(&name, timeout, |_| Ok(()));
        again.unwrap();
        assert_free(&name);
    }
}

#[test]
fn a_session_killed_while_waiting_is_broken_and_the_pool_replaces_it() {
    let (pool, name) = (pool_of_one(), fresh("kill_waiting"));
    let elsewhere = hold_elsewhere(&name);
    let mut conn = pool.get().unwrap();
    let own = id(&mut conn);
    let outcome: Outcome<()> = thread::scope(|scope| {
        scope.spawn(|| {
            wait_until_waiting(own);
            kill(own);
        });
        conn.with_named_lock(&name, SOON, |_| unreachable!("it is held elsewhere"))
    });
    match &outcome {
        Err(error @ NamedLockError::Broken { .. }) => assert!(error.is_transient()),
        other => panic!("{other:?}"),
    }
    assert_eq!(holder(&name), Some(elsewhere.id));
    drop(conn);
    assert_sound(&pool, &name);
}

/// MySQL's `max_execution_time` does not: see `session_settings`.
#[test]
fn a_statement_time_limit_of_the_application_interrupts_the_wait_and_is_not_called_busy() {
    if is_mysql() {
        return;
    }
    let (mut conn, name) = (connect(), fresh("limited"));
    let elsewhere = hold_elsewhere(&name);
    conn.batch_execute("SET max_statement_time = 0.1").unwrap();
    let outcome: Outcome<()> = conn.with_named_lock(&name, SOON, |_| unreachable!("it is held elsewhere"));
    match outcome {
        Err(NamedLockError::Interrupted { waited, .. }) => assert!(waited < SOON, "{waited:?}"),
        other => panic!("{other:?}"),
    }
    drop(elsewhere);
    wait_until("the lock to be free", || holder(&name).is_none());
    let again: Outcome<_> = conn.with_named_lock(&name, SOON, |_| Ok(()));
    again.unwrap();
    assert_free(&name);
}

/// Two sessions take two locks in opposite orders, until each has had its turn at both.
fn cross(first: &str, second: &str, both_hold: &Barrier) -> (MysqlConnection, u32) {
    let mut conn = connect();
    let mut deadlocks = 0;
    loop {
        let outcome: Outcome<()> = conn.with_named_lock(first, SOON, |conn| {
            if deadlocks == 0 {
                both_hold.wait();
            }
            conn.with_named_lock(second, SOON, |_| Ok(()))
        });
        match outcome {
            Ok(()) => return (conn, deadlocks),
            Err(error @ NamedLockError::Deadlock { .. }) => {
                assert!(error.is_transient());
                deadlocks += 1;
            }
            Err(other) => panic!("{other:?}"),
        }
    }
}

/// If a failed statement stays in the cache, libmariadb waits for ever for the answer to the retry.
#[test]
fn a_deadlock_is_reported_at_once_and_a_retry_on_the_same_connection_succeeds() {
    bounded("two sessions to get out of a deadlock", || {
        for _ in 0..5 {
            let (a, b) = (fresh("cross_a"), fresh("cross_b"));
            let both_hold = Barrier::new(2);
            let ((mut one, deadlocks_of_one), (mut two, deadlocks_of_two)) = thread::scope(|scope| {
                let one = scope.spawn(|| cross(&a, &b, &both_hold));
                let two = scope.spawn(|| cross(&b, &a, &both_hold));
                (one.join().unwrap(), two.join().unwrap())
            });
            assert!(deadlocks_of_one + deadlocks_of_two >= 1, "there was no deadlock");
            for conn in [&mut one, &mut two] {
                let again: Outcome<_> = conn.with_named_lock(&a, SOON, |_| Ok(()));
                again.unwrap();
            }
            assert_free(&a);
            assert_free(&b);
        }
    });
}

/// Runs `test` on a thread of its own, so that a hang fails with a message.
#[track_caller]
fn bounded(what: &str, test: impl FnOnce() + Send + 'static) {
    let (done, end) = mpsc::channel();
    let thread = thread::spawn(move || {
        test();
        let _ = done.send(());
    });
    match end.recv_timeout(Duration::from_secs(300)) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("waited five minutes in vain for {what}"),
        _ => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
    }
}

fn kill_queries_until(dry: &AtomicBool, id: u64) {
    let mut killer = connect();
    while !dry.load(Ordering::Relaxed) {
        // The session may be gone.
        let _ = killer.batch_execute(&format!("KILL QUERY {id}"));
    }
}

/// As many in a row as a question survives for certain: it is asked twenty times, and one of those falls into the pause.
fn kill_queries_in_bursts_until(dry: &AtomicBool, id: u64) {
    let mut killer = connect();
    while !dry.load(Ordering::Relaxed) {
        for _ in 0..15 {
            killer.batch_execute(&format!("KILL QUERY {id}")).expect("a session that lives");
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// What became of the sections under a rain of `KILL QUERY`.
#[derive(Debug, Default)]
struct Tally {
    ok: u32,
    interrupted: u32,
    lost: u32,
    work_failed: u32,
    broken: u32,
}

impl Tally {
    /// Sections that came through, and statements that were killed.
    fn has_both(&self) -> bool {
        self.ok > 0 && self.interrupted + self.lost + self.work_failed > 0
    }

    fn add(&mut self, outcome: Outcome<()>) {
        match outcome {
            Ok(()) => self.ok += 1,
            Err(NamedLockError::Interrupted { .. }) => self.interrupted += 1,
            Err(NamedLockError::Lost { .. } | NamedLockError::TransactionLeftOpen { .. }) => self.lost += 1,
            Err(NamedLockError::Database(_)) => self.work_failed += 1,
            Err(NamedLockError::Broken { .. }) => self.broken += 1,
            Err(other) => panic!("{other:?}"),
        }
    }
}

/// Sections on one connection, one after the other, while one session kills their statements and another one takes
/// the lock now and then, so that there is waiting and a moment of the grant.
fn rain(lock: &NamedLock, work: impl Fn(&mut MysqlConnection) -> QueryResult<()>) {
    let name = lock.names()[0].as_str();
    let mut tally = Tally::default();
    server(); // Its start is not to take from the time.
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(2) || (!tally.has_both() && start.elapsed() < PATIENCE) {
        let mut conn = connect();
        let own = id(&mut conn);
        let dry = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| kill_queries_until(&dry, own));
            scope.spawn(|| {
                let mut rival = connect();
                while !dry.load(Ordering::Relaxed) {
                    if get_lock(&mut rival, name, 1) == Some(1) {
                        release_lock(&mut rival, name);
                    }
                }
            });
            (0..100).for_each(|_| tally.add(lock.run(&mut conn, |conn| Ok(work(conn)?))));
            dry.store(true, Ordering::Relaxed);
        });
        assert_free_soon(name);
        // Once it is dry, the connection either works or says that it does not.
        let after: Outcome<()> = lock.run(&mut conn, |_| Ok(()));
        assert!(matches!(after, Ok(()) | Err(NamedLockError::Broken { .. })), "{after:?}");
        assert_free_soon(name);
    }
    println!("{tally:?}");
    assert!(tally.has_both(), "no section came through, or no statement was killed: {tally:?}");
}

#[test]
fn queries_killed_at_any_moment_of_acquire_and_release_neither_hang_nor_leak() {
    bounded("sections under KILL QUERY", || {
        rain(&NamedLock::new(fresh("rain")).unwrap(), |_| Ok(()));
    });
}

#[test]
fn queries_killed_at_any_moment_of_a_re_entrant_section_neither_hang_nor_leak() {
    bounded("re-entrant sections under KILL QUERY", || {
        let lock = NamedLock::new(fresh("rain_reentrant")).unwrap().reentrant();
        let inner = lock.clone();
        rain(&lock, move |conn| inner.run(conn, |_| Ok(())));
    });
}

#[test]
fn queries_killed_at_any_moment_of_a_transaction_neither_hang_nor_leak() {
    bounded("sections with a transaction under KILL QUERY", || {
        rain(&NamedLock::new(fresh("rain_tx")).unwrap(), |conn| {
            conn.transaction(|conn| conn.batch_execute("SELECT 1"))
        });
    });
}

/// Whose lock it is, is never in doubt: the outer section's.
#[test]
fn a_re_entrant_section_under_kill_query_never_costs_the_outer_one_its_lock() {
    bounded("inner sections under KILL QUERY", || {
        let lock = NamedLock::new(fresh("rain_inner")).unwrap().reentrant();
        let mut conn = connect();
        let (own, dry) = (id(&mut conn), AtomicBool::new(false));
        let outcome: Outcome<()> = lock.run(&mut conn, |conn| {
            thread::scope(|scope| {
                scope.spawn(|| kill_queries_in_bursts_until(&dry, own));
                let start = Instant::now();
                let mut tally = Tally::default();
                while start.elapsed() < Duration::from_secs(1) || (!tally.has_both() && start.elapsed() < PATIENCE) {
                    // On MariaDB 10.5, `KILL QUERY` strikes no statement that does not wait.
                    tally.add(lock.run(conn, |conn| Ok(conn.batch_execute("SELECT SLEEP(0.0005)")?)));
                }
                dry.store(true, Ordering::Relaxed);
                assert_eq!(tally.broken, 0, "{tally:?}");
                assert!(tally.has_both(), "no section came through, or no statement was killed: {tally:?}");
            });
            assert_eq!(holder(lock.names()[0].as_str()), Some(own));
            Ok(())
        });
        // The last `KILL QUERY` may have struck the release.
        assert!(matches!(outcome, Ok(()) | Err(NamedLockError::Lost { .. })), "{outcome:?}");
        assert_free_soon(lock.names()[0].as_str());
    });
}

/// A release that is struck for ever gives no way out but to end the session.
#[test]
fn a_session_that_has_to_be_killed_is_killed_even_under_a_rain_of_kill_query() {
    bounded("sessions to be ended under KILL QUERY", || {
        let proxy = Striking::to(server().tcp_url());
        for _ in 0..50 {
            let mut conn = MysqlConnection::establish(proxy.url()).expect("a connection through the proxy");
            let name = fresh("end");
            let (own, dry, clouds) = (id(&mut conn), AtomicBool::new(false), Barrier::new(4));
            thread::scope(|scope| {
                for _ in 0..3 {
                    scope.spawn(|| {
                        clouds.wait();
                        kill_queries_until(&dry, own);
                    });
                }
                let outcome: Outcome<()> = conn.with_named_lock(&name, SOON, |_| {
                    proxy.strike(u32::MAX, "RELEASE_LOCK(");
                    clouds.wait();
                    thread::sleep(Duration::from_millis(2));
                    Ok(())
                });
                dry.store(true, Ordering::Relaxed);
                assert!(matches!(outcome, Err(NamedLockError::Lost { .. })), "{outcome:?}");
                assert!(proxy.struck() > 0, "the release was not refused");
            });
            assert_free_soon(&name);
        }
    });
}
