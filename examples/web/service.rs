//! What an application does. (Here, each of the two processes.)

use std::{error::Error, io::Write, time::Duration};

use axum::{Router, extract::State, http::StatusCode, routing::post};
use diesel::prelude::*;
use diesel_async::{
    AsyncMysqlConnection, RunQueryDsl,
    pooled_connection::{AsyncDieselConnectionManager, bb8::Pool},
};
use diesel_named_lock::{
    NamedLockError,
    nonblocking::{NamedLockConnection, pool::NamedLockPool},
};
use tokio::{io::AsyncReadExt, net::TcpListener, time::sleep};

use crate::{LOCK, diesel_named_lock_sales as sales, diesel_named_lock_stock as stock};

type Locks = NamedLockPool<Pool<AsyncMysqlConnection>>;

pub async fn serve(url: &str) -> Result<(), Box<dyn Error>> {
    let manager = AsyncDieselConnectionManager::<AsyncMysqlConnection>::new(url);
    let locks = Locks::new(Pool::builder().max_size(4).build(manager).await?);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?.port());
    std::io::stdout().flush()?;
    let router = Router::new().route("/sell", post(sell)).with_state(locks);
    axum::serve(listener, router).with_graceful_shutdown(end_of_input()).await?;
    Ok(())
}

async fn sell(State(locks): State<Locks>) -> Result<String, (StatusCode, String)> {
    let left = locks.with_named_lock_transaction(LOCK, Duration::from_secs(20), async |conn| sell_one(conn).await);
    match left.await {
        Ok(left) => Ok(format!("{left} left\n")),
        // Nothing was done: the client may try again.
        Err(error @ (NamedLockError::Timeout { .. } | NamedLockError::NoConnection { .. })) => {
            Err((StatusCode::SERVICE_UNAVAILABLE, error.to_string()))
        }
        Err(error) => Err((StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
    }
}

/// Must not run twice at once.
async fn sell_one(conn: &mut impl NamedLockConnection) -> Result<i32, NamedLockError> {
    let amount: i32 = stock::table.select(stock::amount).first(conn).await?;
    // An application computes, or calls a payment service.
    sleep(Duration::from_millis(2)).await;
    let left = amount - 1;
    diesel::update(stock::table).set(stock::amount.eq(left)).execute(conn).await?;
    diesel::insert_into(sales::table).values(sales::left_in_stock.eq(left)).execute(conn).await?;
    Ok(left)
}

/// The demonstration closes it. (An application waits for a signal.)
async fn end_of_input() {
    let _ = tokio::io::stdin().read(&mut [0]).await;
}
