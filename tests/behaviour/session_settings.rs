//! Sessions whose variables are not as usual, set before the section or by its work.

use std::{
    sync::{Barrier, mpsc},
    thread,
    time::{Duration, Instant},
};

use diesel::{connection::SimpleConnection, prelude::*};
use diesel_named_lock::{NamedLock, NamedLockError, NamedLockExt};

use testkit::world::*;

type Outcome<T> = Result<T, NamedLockError>;

const LIMIT: Duration = Duration::from_millis(100);

fn set(conn: &mut MysqlConnection, variable: &str) {
    conn.batch_execute(&format!("SET SESSION {variable}")).unwrap_or_else(|error| panic!("{variable}: {error}"));
}

/// On a session of its own, which lives and works afterwards.
fn with_variable(variable: &str, section: impl FnOnce(&mut MysqlConnection)) {
    let mut conn = connect();
    let own = id(&mut conn);
    set(&mut conn, variable);
    section(&mut conn);
    assert!(is_alive(own), "{variable}");
    conn.batch_execute("DO 0").unwrap_or_else(|error| panic!("{variable}: {error}"));
}

#[test]
fn a_session_that_selects_no_rows_by_default_has_sections_of_every_kind() {
    let (name, other) = (fresh("no_rows"), fresh("no_rows_too"));
    with_variable("sql_select_limit = 0", |conn| {
        let lock = NamedLock::new(&*name).unwrap().timeout(SOON);
        let both = NamedLock::all_of([&*name, &*other]).unwrap().timeout(LIMIT);
        for lock in [lock.clone(), lock.clone().timeout(LIMIT), lock.idle_limit(SOON).reentrant(), both] {
            let outcome: Outcome<_> = lock.run(conn, |conn| conn.still_holds(&*name));
            assert!(matches!(outcome, Ok(true)), "{lock:?}: {outcome:?}");
        }
        let elsewhere = hold_elsewhere(&name);
        match conn.with_named_lock(&*name, LIMIT, |_| Outcome::Ok(())) {
            Err(NamedLockError::Timeout { holder: Some(holder), .. }) => assert_eq!(holder.connection_id, elsewhere.id),
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn work_that_lets_its_session_select_no_rows_is_still_seen_to_be_alone() {
    let name = fresh("no_rows_set");
    let mut conn = connect();
    let outcome: Outcome<_> = conn.with_named_lock(&*name, SOON, |conn| {
        set(conn, "sql_select_limit = 0");
        Ok(())
    });
    outcome.unwrap();
    assert_free(&name);
}

/// As a session of another number would be called.
const PSEUDO_ID: &str = "pseudo_thread_id = 4000000000";

#[test]
fn a_session_with_a_pseudo_thread_id_is_refused_and_nothing_is_held() {
    let name = fresh("pseudo");
    let mut conn = connect();
    let own = id(&mut conn);
    set(&mut conn, PSEUDO_ID);
    let lock = NamedLock::new(&*name).unwrap().timeout(SOON);
    for lock in [lock.clone(), lock.clone().timeout(LIMIT), lock.clone().reentrant(), lock.clone().idle_limit(SOON)] {
        match lock.run(&mut conn, |_| -> Outcome<()> { unreachable!("refused") }) {
            Err(NamedLockError::PseudoThreadId { connection_id, pseudo_thread_id, .. }) => {
                assert_eq!((connection_id.get(), pseudo_thread_id.get()), (own, 4_000_000_000), "{lock:?}");
            }
            other => panic!("{lock:?}: {other:?}"),
        }
        assert_free(&name);
    }
    conn.batch_execute(&format!("SET SESSION pseudo_thread_id = {own}")).unwrap();
    lock.run(&mut conn, |_| Outcome::Ok(())).unwrap();
}

#[test]
fn a_section_that_is_refused_for_its_pseudo_thread_id_leaves_the_outer_lock_alone() {
    let name = fresh("pseudo_outer");
    let mut conn = connect();
    let own = id(&mut conn);
    let outer: Outcome<_> = conn.with_named_lock(&*name, SOON, |conn| {
        set(conn, PSEUDO_ID);
        for lock in [NamedLock::new(&*name)?, NamedLock::new(&*name)?.reentrant()] {
            let inner = lock.run(conn, |_| -> Outcome<()> { unreachable!("refused") });
            assert!(matches!(inner, Err(NamedLockError::PseudoThreadId { .. })), "{lock:?}: {inner:?}");
            assert_eq!(holder(&name), Some(own), "{lock:?}");
        }
        assert!(conn.still_holds(&*name)?);
        Ok(())
    });
    outer.unwrap();
    assert!(is_alive(own));
    assert_free(&name);
}

#[test]
fn work_that_sets_a_pseudo_thread_id_ends_ok_also_if_it_took_the_lock_once_more() {
    for takes_again in [false, true] {
        let name = fresh("pseudo_set");
        let mut conn = connect();
        let own = id(&mut conn);
        let outcome: Outcome<_> = conn.with_named_lock(&*name, SOON, |conn| {
            set(conn, PSEUDO_ID);
            if takes_again {
                assert_eq!(get_lock(conn, &name, 0), Some(1));
            }
            assert!(conn.still_holds(&*name)?);
            assert!(!conn.still_holds(fresh("pseudo_free"))?);
            Ok(())
        });
        assert!(outcome.is_ok(), "taken again: {takes_again}: {outcome:?}");
        assert_free(&name);
        assert!(is_alive(own), "taken again: {takes_again}");
    }
}

#[test]
fn a_pseudo_thread_id_that_is_another_sessions_number_harms_no_session() {
    let name = fresh("pseudo_other");
    let (mut conn, mut other) = (connect(), connect());
    let (own, others) = (id(&mut conn), id(&mut other));
    let outcome: Outcome<_> = conn.with_named_lock(&*name, SOON, |conn| {
        set(conn, &format!("pseudo_thread_id = {others}"));
        begin(conn)?;
        Ok(())
    });
    assert!(matches!(outcome, Err(NamedLockError::TransactionLeftOpen { .. })), "{outcome:?}");
    assert_free(&name);
    assert!(is_alive(own) && is_alive(others));
}

#[test]
fn a_wait_is_a_timeout_also_in_a_session_that_keeps_no_errors() {
    let name = fresh("no_errors");
    let _elsewhere = hold_elsewhere(&name);
    with_variable("max_error_count = 0", |conn| {
        for timeout in [Duration::from_millis(300), Duration::from_secs(1)] {
            let outcome: Outcome<()> = conn.with_named_lock(&*name, timeout, |_| unreachable!("it is held elsewhere"));
            assert!(
                matches!(&outcome, Err(NamedLockError::Timeout { waited, .. }) if *waited >= timeout),
                "{timeout:?}: {outcome:?}"
            );
        }
    });
}

/// MariaDB's error says what it is by its SQLSTATE, too. MySQL's (3058) has a number only, which such a session does not tell, so
/// that there it is `Interrupted`. Both are transient, and the lock is free.
#[test]
fn a_circle_is_reported_also_in_a_session_that_keeps_no_errors() {
    let (a, b, both_hold) = (fresh("no_errors_a"), fresh("no_errors_b"), Barrier::new(2));
    let cross = |first: &str, second: &str| -> Outcome<()> {
        let mut conn = connect();
        set(&mut conn, "max_error_count = 0");
        conn.with_named_lock(first, SOON, |conn| {
            both_hold.wait();
            conn.with_named_lock(second, SOON, |_| Ok(()))
        })
    };
    let outcomes = thread::scope(|scope| {
        let threads = [scope.spawn(|| cross(&a, &b)), scope.spawn(|| cross(&b, &a))];
        threads.map(|thread| thread.join().unwrap())
    });
    let failed: Vec<_> = outcomes.into_iter().filter_map(Result::err).collect();
    let [error] = failed.as_slice() else { panic!("{failed:?}") };
    match error {
        NamedLockError::Deadlock { .. } => {}
        NamedLockError::Interrupted { .. } if is_mysql() => {}
        other => panic!("{other:?}"),
    }
    assert!(error.is_transient());
    [a, b].iter().for_each(|name| assert_free(name));
}

/// MariaDB has no such limit; its `max_statement_time` ends the wait: see `interrupted`.
#[test]
fn a_limit_of_select_statements_does_not_shorten_a_wait_of_any_kind() {
    if !is_mysql() {
        return;
    }
    let lock = |what| NamedLock::new(fresh(what)).unwrap();
    for timeout in [Duration::from_millis(1300), Duration::from_secs(1)] {
        let lock = lock("limited").timeout(timeout);
        let _elsewhere = hold_elsewhere(lock.names()[0].as_str());
        with_variable("max_execution_time = 100", |conn| {
            let outcome: Outcome<()> = lock.run(conn, |_| unreachable!("it is held elsewhere"));
            match outcome {
                Err(NamedLockError::Timeout { waited, .. }) => assert!(waited >= timeout, "{waited:?} of {timeout:?}"),
                other => panic!("{timeout:?}: {other:?}"),
            }
        });
    }
    for lock in [lock("limited_patient").timeout(SOON), lock("limited_forever").wait_forever()] {
        is_granted_long_after_the_limit(&lock);
    }
}

fn is_granted_long_after_the_limit(lock: &NamedLock) {
    let name = lock.names()[0].as_str();
    let elsewhere = hold_elsewhere(name);
    with_variable("max_execution_time = 100", |conn| {
        let own = id(conn);
        let (done, end) = mpsc::channel();
        thread::scope(|scope| {
            scope.spawn(|| {
                let start = Instant::now();
                let outcome: Outcome<_> = lock.run(conn, |_| Ok(start.elapsed()));
                done.send(outcome).unwrap();
            });
            wait_until_waiting(own);
            thread::sleep(4 * LIMIT);
            assert!(end.try_recv().is_err(), "{lock:?}: the wait was cut short");
            drop(elsewhere);
            let waited = end.recv_timeout(SOON).expect("the lock is granted");
            assert!(waited.is_ok_and(|waited| waited >= 3 * LIMIT), "{lock:?}");
        });
    });
    assert_free(name);
}
