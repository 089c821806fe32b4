//! What becomes of a connection of `diesel-async` if a future that used it is dropped.

use std::{env, error::Error, future::poll_fn, pin::pin, task::Poll, time::Duration};

use diesel::{QueryResult, define_sql_function, sql_types::Integer};
use diesel_async::{
    AnsiTransactionManager, AsyncConnection, AsyncMysqlConnection, RunQueryDsl, TransactionManager,
    pooled_connection::{AsyncDieselConnectionManager, bb8::Pool},
};
use tokio::time::timeout;

define_sql_function! { fn sleep(seconds: Integer) -> Integer; }
define_sql_function! { fn greatest(one: Integer, other: Integer) -> Integer; }

/// Asks the server for `number`, which takes it so many seconds. (`SLEEP` returns 0.)
async fn ask(conn: &mut AsyncMysqlConnection, number: i32, seconds: i32) -> QueryResult<i32> {
    diesel::select(greatest(sleep(seconds), number)).get_result(conn).await
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = env::var("DATABASE_URL")?;
    on_one_connection(&url).await?;
    through_a_pool(&url).await?;
    // In a task of its own, since it panics.
    println!("a transaction after a dropped BEGIN: {:?}", tokio::spawn(after_a_dropped_begin(url)).await);
    Ok(())
}

async fn on_one_connection(url: &str) -> Result<(), Box<dyn Error>> {
    let conn = &mut AsyncMysqlConnection::establish(url).await?;
    ask(conn, 0, 0).await?;
    println!("111, dropped after 0.1 s: {:?}", timeout(Duration::from_millis(100), ask(conn, 111, 1)).await);
    for number in [222, 333, 444] {
        println!("{number}: {:?}", ask(conn, number, 0).await);
    }
    Ok(())
}

async fn through_a_pool(url: &str) -> Result<(), Box<dyn Error>> {
    let manager = AsyncDieselConnectionManager::<AsyncMysqlConnection>::new(url);
    let pool: Pool<AsyncMysqlConnection> = Pool::builder().max_size(1).build(manager).await?;
    ask(&mut *pool.get().await?, 0, 0).await?;
    let request = async { ask(&mut *pool.get().await?, 555, 1).await.map_err(Box::<dyn Error>::from) };
    println!("555 by a request of bb8, dropped after 0.1 s: {:?}", timeout(Duration::from_millis(100), request).await);
    for number in [666, 777] {
        println!("{number} by the next one: {:?}", ask(&mut *pool.get().await?, number, 0).await);
    }
    Ok(())
}

async fn after_a_dropped_begin(url: String) -> QueryResult<bool> {
    let mut conn = AsyncMysqlConnection::establish(&url).await.expect("a connection");
    {
        let mut begin = pin!(AnsiTransactionManager::begin_transaction(&mut conn));
        let first = poll_fn(|context| Poll::Ready(begin.as_mut().poll(context))).await;
        assert!(first.is_pending(), "the server was faster");
    }
    assert!(AnsiTransactionManager::is_broken_transaction_manager(&mut conn));
    conn.transaction(async |_| Ok::<_, diesel::result::Error>(())).await?;
    Ok(AnsiTransactionManager::is_broken_transaction_manager(&mut conn))
}
