//! Async pools, whose connections have a witness each, and that close none that is healthy by themselves.

use std::time::Duration;

use diesel::{
    ConnectionError, ConnectionResult, QueryResult,
    prelude::*,
    sql_query,
    sql_types::{BigInt, Unsigned},
};
use diesel_async::{
    AsyncConnection, AsyncMysqlConnection, RunQueryDsl,
    pooled_connection::{AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod, bb8, deadpool},
};
use tokio::time::sleep;

use crate::{
    manager::PING,
    message::Message,
    witness::Witness,
    worker::{HANGS, Orders},
};

pub type Bb8 = bb8::Pool<AsyncMysqlConnection>;
pub type Deadpool = deadpool::Pool<AsyncMysqlConnection>;

/// `KILL` may strike so many attempts in a row.
const ATTEMPTS: usize = 30;

#[derive(QueryableByName)]
struct Session {
    #[diesel(sql_type = Unsigned<BigInt>)]
    id: u64,
}

pub async fn bb8(orders: &Orders) -> Bb8 {
    let builder = bb8::Pool::builder().max_size(orders.connections).connection_timeout(2 * HANGS);
    builder.idle_timeout(None).max_lifetime(None).build(manager(orders)).await.expect("a pool")
}

pub fn deadpool(orders: &Orders) -> Deadpool {
    deadpool::Pool::builder(manager(orders)).max_size(orders.connections as usize).build().expect("a pool")
}

/// Diesel's own ping, struck by `KILL QUERY`, would close a healthy connection.
fn manager(orders: &Orders) -> AsyncDieselConnectionManager<AsyncMysqlConnection> {
    let mut config = ManagerConfig::default();
    config.custom_setup = Box::new(|url| Box::pin(connect(url.to_owned())));
    config.recycling_method = match orders.untested {
        true => RecyclingMethod::Fast,
        false => RecyclingMethod::CustomFunction(Box::new(|conn| Box::pin(ping(conn)))),
    };
    AsyncDieselConnectionManager::new_with_config(&orders.tcp_url, config)
}

async fn connect(url: String) -> ConnectionResult<AsyncMysqlConnection> {
    let mut failed = None;
    for _ in 0..ATTEMPTS {
        match try_connect(&url).await {
            Ok(conn) => return Ok(conn),
            Err(error) => failed = Some(error),
        }
        sleep(Duration::from_millis(1)).await;
    }
    Err(failed.expect("an attempt"))
}

async fn try_connect(url: &str) -> ConnectionResult<AsyncMysqlConnection> {
    let mut conn = AsyncMysqlConnection::establish(url).await?;
    let session = sql_query("SELECT CONNECTION_ID() AS id").get_result::<Session>(&mut conn).await;
    let Session { id } = session.map_err(ConnectionError::CouldntSetupConfiguration)?;
    Message::Opened(id).send();
    conn.set_instrumentation(Witness::new(id, url));
    Ok(conn)
}

async fn ping(conn: &mut AsyncMysqlConnection) -> QueryResult<()> {
    let mut failed = None;
    for _ in 0..ATTEMPTS {
        match sql_query(PING).execute(conn).await {
            Ok(_) => return Ok(()),
            Err(error) => failed = Some(error),
        }
        sleep(Duration::from_millis(1)).await;
    }
    Err(failed.expect("an attempt"))
}
