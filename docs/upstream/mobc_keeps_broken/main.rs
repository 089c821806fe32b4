//! Which connections the pool keeps: those that are broken.

use std::{env, error::Error};

use diesel_async::{
    AsyncConnection, AsyncMysqlConnection, RunQueryDsl, TransactionManager,
    pooled_connection::{AsyncDieselConnectionManager, mobc::Pool},
};

diesel::define_sql_function! { fn connection_id() -> Unsigned<BigInt>; }

async fn id(conn: &mut AsyncMysqlConnection) -> Result<u64, diesel::result::Error> {
    diesel::select(connection_id()).get_result(conn).await
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let manager = AsyncDieselConnectionManager::<AsyncMysqlConnection>::new(env::var("DATABASE_URL")?);
    let pool = Pool::builder().max_open(1).build(manager);

    let healthy = id(&mut *pool.get().await?).await?;
    println!("returned healthy:             {healthy}, next checkout: {}", id(&mut *pool.get().await?).await?);

    let mut conn = pool.get().await?;
    let open = id(&mut conn).await?;
    // Begins a transaction, and never ends it.
    <AsyncMysqlConnection as AsyncConnection>::TransactionManager::begin_transaction(&mut *conn).await?;
    drop(conn);
    let mut next = pool.get().await?;
    println!("returned with a transaction:  {open}, next checkout: {}", id(&mut next).await?);
    Ok(())
}
