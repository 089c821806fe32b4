//! What is said to a server by hand.

use std::{
    thread,
    time::{Duration, Instant},
};

use diesel::{
    MysqlConnection,
    prelude::*,
    sql_query,
    sql_types::{BigInt, Nullable, Text},
};
use diesel_named_lock::NamedLockConnection;

/// How long anything that is waited for may take.
pub const PATIENCE: Duration = Duration::from_secs(15);

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = Nullable<BigInt>)]
    number: Option<i64>,
}

pub fn connect(url: &str) -> MysqlConnection {
    MysqlConnection::establish(url).unwrap_or_else(|error| panic!("no connection to {url}: {error}"))
}

/// The one number that a query `SELECT … AS number` answers.
pub fn number<C: NamedLockConnection>(conn: &mut C, query: &str) -> Option<i64> {
    sql_query(query).get_result::<Number>(conn).unwrap_or_else(|error| panic!("{query}: {error}")).number
}

pub fn id<C: NamedLockConnection>(conn: &mut C) -> u64 {
    number(conn, "SELECT CONNECTION_ID() AS number").and_then(unsigned).expect("a connection id")
}

fn unsigned(id: i64) -> Option<u64> {
    u64::try_from(id).ok()
}

/// `GET_LOCK`, as an application would without this crate.
pub fn get_lock<C: NamedLockConnection>(conn: &mut C, name: &str, timeout: Duration) -> QueryResult<bool> {
    let query = format!("SELECT GET_LOCK(?, {}) AS number", timeout.as_secs());
    Ok(sql_query(query).bind::<Text, _>(name).get_result::<Number>(conn)?.number == Some(1))
}

pub fn release_lock<C: NamedLockConnection>(conn: &mut C, name: &str) -> QueryResult<bool> {
    let query = sql_query("SELECT RELEASE_LOCK(?) AS number").bind::<Text, _>(name);
    Ok(query.get_result::<Number>(conn)?.number == Some(1))
}

/// The connection id of who holds the lock.
pub fn holder<C: NamedLockConnection>(conn: &mut C, name: &str) -> QueryResult<Option<u64>> {
    let query = sql_query("SELECT CAST(IS_USED_LOCK(?) AS SIGNED) AS number").bind::<Text, _>(name);
    Ok(query.get_result::<Number>(conn)?.number.and_then(unsigned))
}

/// Polls until it is so.
#[track_caller]
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain for {what}");
        thread::sleep(Duration::from_millis(2));
    }
}
