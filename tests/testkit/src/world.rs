//! What every test needs: the server, connections to it, and a second session that looks on.

use std::{
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use diesel::{
    MysqlConnection,
    connection::{LoadConnection, SimpleConnection, TransactionManager},
    mysql::Mysql,
    prelude::*,
    r2d2::{ConnectionManager, Pool},
    sql_query,
    sql_types::{BigInt, Nullable, Text},
};
use test_server::{Product, Server};

pub type Manager = ConnectionManager<MysqlConnection>;

/// Enough for whatever the test does not want to wait for.
pub const SOON: Duration = Duration::from_secs(20);

/// Nothing that works takes so long, not even a program that starts three servers while four others are tested.
pub const PATIENCE: Duration = Duration::from_secs(120);

pub fn server() -> &'static Server {
    Server::shared()
}

pub fn is_mysql() -> bool {
    server().product() == Product::MySql
}

pub fn connect() -> MysqlConnection {
    MysqlConnection::establish(server().url()).expect("a connection to the test server")
}

/// A pool of one: whatever a test leaves on its connection, the next checkout meets.
pub fn pool_of_one() -> Pool<Manager> {
    Pool::builder().max_size(1).connection_timeout(SOON).build(Manager::new(server().url())).expect("a pool")
}

/// A lock name, or a table name, that no other test and no other run has.
pub fn fresh(what: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    static RUN: LazyLock<u64> = LazyLock::new(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock after 1970");
        u64::from(std::process::id()) ^ (now.as_micros() as u64) << 16
    });
    format!("{what}_{:x}_{}", *RUN, COUNT.fetch_add(1, Ordering::Relaxed))
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = Nullable<BigInt>)]
    number: Option<i64>,
}

/// The one number that a query `SELECT … AS number` answers.
pub fn number<C: LoadConnection<Backend = Mysql>>(conn: &mut C, query: &str) -> Option<i64> {
    sql_query(query).get_result::<Number>(conn).unwrap_or_else(|error| panic!("{query}: {error}")).number
}

pub fn id<C: LoadConnection<Backend = Mysql>>(conn: &mut C) -> u64 {
    number(conn, "SELECT CONNECTION_ID() AS number").expect("a connection id") as u64
}

/// `GET_LOCK` by hand, as an application would without this crate.
pub fn get_lock<C: LoadConnection<Backend = Mysql>>(conn: &mut C, name: &str, seconds: u32) -> Option<i64> {
    let query = format!("SELECT GET_LOCK(?, {seconds}) AS number");
    sql_query(query).bind::<Text, _>(name).get_result::<Number>(conn).expect("GET_LOCK").number
}

pub fn release_lock<C: LoadConnection<Backend = Mysql>>(conn: &mut C, name: &str) -> Option<i64> {
    let query = "SELECT RELEASE_LOCK(?) AS number";
    sql_query(query).bind::<Text, _>(name).get_result::<Number>(conn).expect("RELEASE_LOCK").number
}

/// The connection id of who holds the lock, seen from a session of its own.
pub fn holder(name: &str) -> Option<u64> {
    let query = "SELECT CAST(IS_USED_LOCK(?) AS SIGNED) AS number";
    let row = sql_query(query).bind::<Text, _>(name).get_result::<Number>(&mut connect()).expect("IS_USED_LOCK");
    row.number.map(|id| id as u64)
}

/// A session that holds a lock for as long as this lives.
pub struct Elsewhere {
    pub conn: MysqlConnection,
    pub id: u64,
}

pub fn hold_elsewhere(name: &str) -> Elsewhere {
    let mut conn = connect();
    assert_eq!(get_lock(&mut conn, name, 0), Some(1), "{name} is free at first");
    let id = id(&mut conn);
    Elsewhere { conn, id }
}

/// From another session, the lock can be had at once.
#[track_caller]
pub fn assert_free(name: &str) {
    let mut conn = connect();
    assert_eq!(holder(name), None, "{name} is held");
    assert_eq!(get_lock(&mut conn, name, 0), Some(1), "{name} can't be had");
    // The session may live on for a moment.
    release_lock(&mut conn, name);
}

/// For the ways out on which the session is ended: the lock is free soon after.
#[track_caller]
pub fn assert_free_soon(name: &str) {
    wait_until(&format!("{name} to be free"), || holder(name).is_none());
    assert_free(name);
}

/// The pool gives a connection that works and holds nothing.
#[track_caller]
pub fn assert_sound(pool: &Pool<Manager>, name: &str) {
    let mut conn = pool.get().expect("a checkout");
    let id = id(&mut conn);
    assert_ne!(holder(name), Some(id), "the connection went back with the lock");
    conn.transaction(|conn| sql_query("SELECT 1").execute(conn)).expect("a working connection");
}

/// Begins a transaction, or a savepoint inside one, and leaves it open.
pub fn begin<C: Connection>(conn: &mut C) -> QueryResult<()> {
    C::TransactionManager::begin_transaction(conn)
}

pub fn kill(id: u64) {
    connect().batch_execute(&format!("KILL {id}")).expect("KILL");
}

pub fn kill_query(id: u64) {
    connect().batch_execute(&format!("KILL QUERY {id}")).expect("KILL QUERY");
}

pub fn is_alive(id: u64) -> bool {
    number(&mut connect(), &count_of_sessions(id, "")) == Some(1)
}

/// Until the session waits for a named lock.
#[track_caller]
pub fn wait_until_waiting(id: u64) {
    let query = count_of_sessions(id, "User lock");
    let mut conn = connect();
    wait_until(&format!("connection {id} to wait for a named lock"), || number(&mut conn, &query) == Some(1));
}

pub fn is_in_state(id: u64, state: &str) -> bool {
    number(&mut connect(), &count_of_sessions(id, state)) == Some(1)
}

/// The table of sessions: `ID`, `STATE`, `DB`, `INFO`.
///
/// MySQL's other one fails as long as any session runs a statement with a character beyond `utf8mb3`.
pub fn process_list() -> &'static str {
    if is_mysql() { "performance_schema.processlist" } else { "information_schema.PROCESSLIST" }
}

fn count_of_sessions(id: u64, state: &str) -> String {
    let condition = if state.is_empty() { String::new() } else { format!(" AND STATE = '{state}'") };
    format!("SELECT COUNT(*) AS number FROM {} WHERE ID = {id}{condition}", process_list())
}

#[track_caller]
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain for {what}");
        thread::sleep(Duration::from_millis(2));
    }
}
