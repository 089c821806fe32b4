//! A section on the server of `DATABASE_URL`, by an application that links no C library.

use std::{env, error::Error, time::Duration};

use diesel_async::{AsyncConnection, AsyncMysqlConnection};
use diesel_named_lock::nonblocking::NamedLockExt;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut conn = AsyncMysqlConnection::establish(&env::var("DATABASE_URL")?).await?;
    let held =
        conn.with_named_lock("async-only", Duration::from_secs(5), async |conn| conn.still_holds("async-only").await);
    println!("held: {}", held.await?);
    Ok::<_, Box<dyn Error>>(())
}
