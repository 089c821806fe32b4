//! Async connections, and pools of them. Who looks on uses the blocking ones of `testkit`.

use std::time::Duration;

use diesel::{QueryResult, QueryableByName, sql_query, sql_types::BigInt};
use diesel_async::{
    AsyncConnection, AsyncMysqlConnection, RunQueryDsl, TransactionManager,
    pooled_connection::{AsyncDieselConnectionManager, bb8, deadpool},
};
use diesel_named_lock::nonblocking::NamedLockConnection;
use testkit::world::{SOON, fresh, server};
use tokio::time::{sleep, timeout};

pub type Manager = AsyncDieselConnectionManager<AsyncMysqlConnection>;

/// For what is expected to be dropped, or to take its time.
pub const LONG: Duration = Duration::from_secs(60);

pub async fn connect() -> AsyncMysqlConnection {
    AsyncMysqlConnection::establish(server().tcp_url()).await.expect("an async connection to the test server")
}

/// A pool of one: whatever a test leaves on its connection, the next checkout meets.
pub async fn bb8_of(size: u32) -> bb8::Pool<AsyncMysqlConnection> {
    let builder = bb8::Pool::builder().max_size(size).connection_timeout(SOON);
    builder.build(Manager::new(server().tcp_url())).await.expect("a pool of bb8")
}

pub fn deadpool_of(size: usize) -> deadpool::Pool<AsyncMysqlConnection> {
    deadpool::Pool::builder(Manager::new(server().tcp_url())).max_size(size).build().expect("a pool of deadpool")
}

#[derive(QueryableByName)]
pub struct Number {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

/// The one number that a query `SELECT … AS number` answers.
pub async fn number<C: NamedLockConnection>(conn: &mut C, query: &str) -> i64 {
    sql_query(query).get_result::<Number>(conn).await.unwrap_or_else(|error| panic!("{query}: {error}")).number
}

pub async fn id<C: NamedLockConnection>(conn: &mut C) -> u64 {
    number(conn, "SELECT CONNECTION_ID() AS number").await as u64
}

/// Polls the future until the condition is true, and drops it.
pub async fn drop_once<F: Future>(future: F, what: &str, condition: impl Fn() -> bool) {
    let met = async {
        while !condition() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        _ = future => panic!("it ended before {what}"),
        met = timeout(SOON, met) => met.unwrap_or_else(|_| panic!("waited {SOON:?} in vain for {what}")),
    }
}

/// Begins a transaction, or a savepoint inside one, and leaves it open.
pub async fn begin<C: NamedLockConnection>(conn: &mut C) -> QueryResult<()> {
    C::TransactionManager::begin_transaction(conn).await
}

/// A new table with one column, `n`. It is gone with the server.
pub async fn table<C: NamedLockConnection>(conn: &mut C) -> String {
    let table = format!("test.{}", fresh("table"));
    conn.batch_execute(&format!("CREATE TABLE {table} (n INT) ENGINE=InnoDB")).await.expect("CREATE TABLE");
    table
}

pub async fn until(what: &str, done: impl Fn() -> bool) {
    drop_once(std::future::pending::<()>(), what, done).await;
}

/// The same cases on bb8 and on deadpool.
macro_rules! on_either_pool {
    ($($case:ident => $run:ident($size:expr);)*) => {$(
        mod $case {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_bb8() {
                super::$run(crate::world::bb8_of($size).await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_deadpool() {
                super::$run(crate::world::deadpool_of($size)).await;
            }
        }
    )*};
}
pub(crate) use on_either_pool;
