//! `KILL QUERY` at the end of a section's transaction, several times in a row.

use std::time::Duration;

use diesel::{
    connection::SimpleConnection,
    prelude::*,
    r2d2::Pool,
    result::{DatabaseErrorKind, Error},
};
use diesel_named_lock::{NamedLock, NamedLockError, Section};

use testkit::{striking::Striking, world::*};

const TIMES: [u32; 5] = [1, 2, 4, 5, 9];

/// A section whose transaction ends with `outcome`, and is struck so many times from then on. Its session must live.
fn struck(times: u32, outcome: Result<(), Error>) -> Result<(), Error> {
    let (proxy, name) = (Striking::to(server().tcp_url()), fresh("struck_transaction"));
    let mut conn = MysqlConnection::establish(proxy.url()).expect("a connection through the proxy");
    let session = id(&mut conn);
    let lock = NamedLock::new(&name).unwrap().timeout(SOON);
    let told = lock.run_transaction(&mut conn, |_| {
        proxy.strike(times, "");
        outcome
    });
    assert_eq!(proxy.struck(), times);
    assert_eq!(holder(&name), None, "struck {times} times: it is held");
    assert_eq!(id(&mut conn), session);
    // Neither in a transaction, nor marked broken.
    let again: Result<_, Error> = lock.run_transaction(&mut conn, |_| Ok(()));
    again.expect("a connection that is sound");
    told
}

#[test]
fn a_rollback_of_a_sections_transaction_that_is_struck_costs_neither_the_session_nor_the_works_error() {
    for times in TIMES {
        let told = struck(times, Err(Error::NotFound));
        assert!(matches!(told, Err(Error::NotFound)), "struck {times} times: {told:?}");
    }
}

#[test]
fn a_commit_of_a_sections_transaction_that_is_struck_is_reported_and_does_not_cost_the_session() {
    for times in TIMES {
        let told = struck(times, Ok(()));
        let expected = matches!(told, Err(Error::DatabaseError(..) | Error::RollbackErrorOnCommit { .. }));
        assert!(expected, "struck {times} times: {told:?}");
    }
}

/// A closure whose own transaction is rolled back by Diesel, which is struck so many times from then on; `swallow` is what the
/// closure makes of Diesel's error. The session must live, but not in the pool.
fn struck_in_own(times: u32, sql: &str, swallow: fn(Error) -> Result<(), Error>) -> Section<Result<(), Error>> {
    let (proxy, name, table) = (Striking::to(server().tcp_url()), fresh("struck_own"), fresh("t"));
    connect().batch_execute(&format!("CREATE TABLE {table} (a INT) ENGINE = InnoDB")).expect("a table");
    let rows = format!("SELECT COUNT(*) AS number FROM {table}");
    let pool = Pool::builder().max_size(1).build(Manager::new(proxy.url())).expect("a pool");
    let mut conn = pool.get().expect("a connection through the proxy");
    let (session, wait_timeout) = (id(&mut conn), "SELECT CAST(@@wait_timeout AS SIGNED) AS number");
    let idle_before = number(&mut conn, wait_timeout);
    let lock = NamedLock::new(&name).unwrap().timeout(SOON).idle_limit(Duration::from_secs(60));
    let section = lock.section(&mut conn, |conn| {
        let rolled_back: Result<(), Error> = conn.transaction(|conn| {
            conn.batch_execute(&format!("INSERT INTO {table} VALUES (1)"))?;
            proxy.strike(times, sql);
            Err(Error::NotFound)
        });
        rolled_back.or_else(swallow)
    });
    let context = format!("`{sql}` struck {times} times");
    assert_eq!(proxy.struck(), times, "{context}");
    assert_eq!(holder(&name), None, "{context}");
    assert_eq!(id(&mut conn), session, "{context}: killed");
    assert_eq!(number(&mut conn, wait_timeout), idle_before, "{context}");
    // In no transaction any more: others see what it writes now, and nothing of before.
    conn.batch_execute(&format!("INSERT INTO {table} VALUES (2)")).expect("a plain statement");
    assert_eq!(number(&mut connect(), &rows), Some(1), "{context}");
    let refused = conn.transaction(|_| QueryResult::Ok(()));
    assert!(matches!(refused, Err(Error::BrokenTransactionManager)), "{context}: {refused:?}");
    drop(conn);
    assert_ne!(id(&mut pool.get().expect("another connection")), session, "{context}: the pool keeps it");
    section.expect("the closure ran")
}

#[test]
fn a_rollback_of_the_closures_own_transaction_that_is_struck_does_not_cost_the_session() {
    for (times, sql) in TIMES.into_iter().flat_map(|times| [(times, ""), (times, "ROLLBACK")]) {
        let Section { value, error, .. } = struck_in_own(times, sql, Err);
        // Of the `ROLLBACK`.
        assert!(matches!(value, Err(Error::DatabaseError(DatabaseErrorKind::Unknown, _))), "{value:?}");
        assert!(matches!(error, Some(NamedLockError::TransactionLeftOpen { depth: None, .. })), "{error:?}");
    }
}

#[test]
fn a_closure_that_swallows_the_error_of_its_rollback_has_left_a_transaction_open() {
    for times in TIMES {
        let outcome = struck_in_own(times, "ROLLBACK", |_| Ok(())).into_result();
        let told = outcome.map_err(NamedLockError::from);
        assert!(matches!(told, Err(NamedLockError::TransactionLeftOpen { depth: None, .. })), "{told:?}");
    }
}
