//! Whatever way a section ends, the next thread gets a lock that is truly held, on a connection that is clean.

use std::{
    panic::panic_any,
    sync::{
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
};

use diesel::{
    connection::{InstrumentationEvent, SimpleConnection},
    prelude::*,
    sql_query,
};
use diesel_named_lock::{LockName, NamedLockError, pool::NamedLockPool};

use testkit::world::*;

use crate::line::*;

/// Runs `first` with a thread in line behind it. What came of it, and whether the next one got the same session.
fn then_the_next<T: Send>(what: &str, first: impl FnOnce(&mut Conn, &LockName) -> T + Send) -> (Outcome<T>, bool) {
    let (locks, name, session) = (generous(1), lock_name(what), AtomicU64::new(0));
    let first = |conn: &mut Conn| {
        session.store(id(conn), Ordering::Relaxed);
        first(conn, &name)
    };
    let (outcome, mut others) = in_line(&locks, &name, 1, first, |conn, _| {
        assert_eq!(holder(name.as_str()), Some(id(conn)), "the next one holds the lock on its own connection");
        conn.transaction(|conn| sql_query("SELECT 1").execute(conn)).expect("a working connection");
        id(conn)
    });
    let next = others.remove(0).expect("the next one is served");
    assert_free(name.as_str());
    (outcome, next == session.into_inner())
}

#[test]
fn after_a_session_that_was_killed_the_next_one_starts_afresh() {
    let (outcome, same_session) = then_the_next("killed", |conn, _| {
        let own = id(conn);
        kill(own);
        wait_until("the killed session to be gone", || !is_alive(own));
    });
    assert!(matches!(outcome, Err(NamedLockError::Lost { .. })), "{outcome:?}");
    assert!(!same_session);
}

#[test]
fn after_a_release_by_hand_the_next_one_acquires_again() {
    let (outcome, _) = then_the_next("by_hand", |conn, name| {
        assert_eq!(release_lock(conn, name.as_str()), Some(1));
    });
    assert!(matches!(outcome, Err(NamedLockError::Lost { source: None, .. })), "{outcome:?}");
}

/// Handed on with a count of 2, it is free only if the last section releases it twice.
#[test]
fn a_lock_that_was_taken_once_more_by_hand_is_free_at_the_end() {
    let (outcome, same_session) = then_the_next("twice", |conn, name| {
        assert_eq!(get_lock(conn, name.as_str(), 0), Some(1));
    });
    assert!(outcome.is_ok(), "{outcome:?}");
    assert!(same_session);
}

#[test]
fn a_transaction_left_open_is_rolled_back_before_the_next_one() {
    let table = fresh("left_open");
    sql_query(format!("CREATE TABLE {table} (n INT) ENGINE=InnoDB")).execute(&mut connect()).unwrap();
    let (outcome, _) = then_the_next("left_open", |conn, _| {
        begin(conn).unwrap();
        sql_query(format!("INSERT INTO {table} VALUES (1)")).execute(conn).unwrap();
    });
    assert!(matches!(outcome, Err(NamedLockError::TransactionLeftOpen { depth: Some(1), .. })), "{outcome:?}");
    assert_eq!(number(&mut connect(), &format!("SELECT COUNT(*) AS number FROM {table}")), Some(0));
    sql_query(format!("DROP TABLE {table}")).execute(&mut connect()).unwrap();
}

#[test]
fn after_a_connection_that_was_swapped_the_next_one_starts_afresh() {
    let (outcome, same_session) = then_the_next("swapped", |conn, _| **conn = connect());
    assert!(matches!(outcome, Err(NamedLockError::ConnectionSwapped { .. })), "{outcome:?}");
    assert!(!same_session);
}

/// Runs `first` with a thread in line behind it. The section panics, in it or after it; the next one is served.
fn panics_and_then_the_next(what: &str, first: impl FnOnce(&mut Conn) + Send) {
    let (locks, name) = (generous(1), lock_name(what));
    let (entered, has_entered) = mpsc::channel();
    thread::scope(|scope| {
        let panics = || {
            locks.with_named_lock(&name, SOON, |conn| -> Outcome<()> {
                entered.send(()).unwrap();
                wait_until_in_line(&locks, &name, 1);
                first(conn);
                Ok(())
            })
        };
        let panics = scope.spawn(panics);
        has_entered.recv_timeout(SOON).expect("the first one gets in");
        let next = scope.spawn(|| locks.with_named_lock(&name, SOON, |conn| Outcome::Ok(id(conn))));
        assert_eq!(panics.join().unwrap_err().downcast_ref(), Some(&ON_PURPOSE));
        let session = next.join().unwrap().unwrap();
        assert!(is_alive(session));
    });
    assert_free(name.as_str());
}

const ON_PURPOSE: &str = "on purpose";

#[test]
fn after_a_panic_in_the_work_the_next_one_is_served() {
    panics_and_then_the_next("panic", |_| panic_any(ON_PURPOSE));
}

#[test]
fn what_raw_sql_began_before_a_panic_is_not_committed_by_the_next_user_of_the_pool() {
    let (locks, name, table) = (generous(1), lock_name("raw_panic"), fresh("raw_panic"));
    connect().batch_execute(&format!("CREATE TABLE {table} (a INT) ENGINE = InnoDB")).unwrap();
    let section = || {
        locks.with_named_lock(&name, SOON, |conn| -> Outcome<()> {
            conn.batch_execute("BEGIN")?;
            sql_query(format!("INSERT INTO {table} VALUES (1)")).execute(conn)?;
            panic_any(ON_PURPOSE)
        })
    };
    assert!(thread::scope(|scope| scope.spawn(section).join()).is_err());
    assert_free(name.as_str());
    locks.pool().get().unwrap().transaction(|conn| sql_query("DO 0").execute(conn)).unwrap();
    assert_eq!(number(&mut connect(), &format!("SELECT COUNT(*) AS number FROM {table}")), Some(0));
}

/// One of Diesel's (`Instrumentation`), which the question whether the lock is still held calls, too.
#[test]
fn after_a_hook_that_panics_at_the_hand_off_the_next_one_is_served() {
    for persistent in [false, true] {
        panics_and_then_the_next("hook", |conn| {
            let mut armed = true;
            conn.set_instrumentation(move |event: InstrumentationEvent<'_>| {
                if armed && matches!(event, InstrumentationEvent::FinishQuery { .. }) {
                    armed = persistent;
                    panic_any(ON_PURPOSE);
                }
            });
        });
    }
}

/// While a panic unwinds, what is left of a section must not be taken for one that panics.
#[test]
fn a_section_in_a_destructor_during_a_panic_hands_its_lock_on_held() {
    let (locks, name) = (generous(1), lock_name("destructor"));
    let (entered, has_entered) = mpsc::channel();
    thread::scope(|scope| {
        let section = || {
            locks.with_named_lock(&name, SOON, |_| {
                entered.send(()).unwrap();
                wait_until_in_line(&locks, &name, 1);
                Outcome::Ok(())
            })
        };
        let panics = move || {
            let _in_destructor = scopeguard::guard((), |()| section().unwrap());
            panic!("outside of a section");
        };
        let panics = scope.spawn(panics);
        has_entered.recv_timeout(SOON).expect("the first one gets in");
        let next = locks.with_named_lock(&name, SOON, |conn| {
            assert_eq!(holder(name.as_str()), Some(id(conn)));
            Outcome::Ok(())
        });
        next.unwrap();
        assert!(panics.join().is_err());
    });
    assert_free(name.as_str());
}

#[test]
fn an_error_of_the_work_comes_back_and_the_lock_is_handed_on() {
    let (locks, name) = (generous(1), lock_name("work_error"));
    let (entered, has_entered) = mpsc::channel();
    let fails = || {
        locks.with_named_lock(&name, SOON, |conn| -> Outcome<()> {
            entered.send(id(conn)).unwrap();
            wait_until_in_line(&locks, &name, 1);
            sql_query("SELECT nonsense").execute(conn)?;
            Ok(())
        })
    };
    thread::scope(|scope| {
        let fails = scope.spawn(fails);
        let session = has_entered.recv_timeout(SOON).expect("the first one gets in");
        let next = scope.spawn(|| locks.with_named_lock(&name, SOON, |conn| Outcome::Ok(id(conn))));
        let outcome = fails.join().unwrap();
        assert!(matches!(outcome, Err(NamedLockError::Database(_))), "{outcome:?}");
        assert_eq!(next.join().unwrap().unwrap(), session, "the same session");
    });
    assert_free(name.as_str());
}

#[test]
fn what_a_transaction_wrote_is_committed_when_the_next_one_begins() {
    let table = fresh("committed");
    sql_query(format!("CREATE TABLE {table} (n INT) ENGINE=InnoDB")).execute(&mut connect()).unwrap();
    let (locks, name) = (NamedLockPool::new(pool(4)), lock_name("committed"));
    let count = format!("SELECT COUNT(*) AS number FROM {table}");
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..5 {
                    let outcome: Outcome<()> = locks.with_named_lock_transaction(&name, SOON, |conn| {
                        let seen = number(conn, &count);
                        assert_eq!(seen, number(&mut connect(), &count), "another session sees as much");
                        sql_query(format!("INSERT INTO {table} VALUES (1)")).execute(conn)?;
                        Ok(())
                    });
                    outcome.unwrap();
                }
            });
        }
    });
    assert_eq!(number(&mut connect(), &count), Some(40));
    sql_query(format!("DROP TABLE {table}")).execute(&mut connect()).unwrap();
}
