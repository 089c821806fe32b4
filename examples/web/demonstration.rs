//! The two processes and their clients, and what is to be seen of them.

use std::{env, error::Error, process::Stdio};

use diesel::{prelude::*, sql_types::Text};
use diesel_async::{AsyncConnection, AsyncMysqlConnection, RunQueryDsl, SimpleAsyncConnection};
use test_server::Server;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use crate::{
    LOCK,
    clients::{self, Told},
    diesel_named_lock_sales as sales, diesel_named_lock_stock as stock,
};

const STOCK: i32 = 1000;

/// Starts the processes and the clients, and looks at what is in the tables.
pub async fn run() -> Result<(), Box<dyn Error>> {
    let server = Server::shared();
    println!("2 processes sell from one stock of {STOCK}, on a {} server, {}", server.product(), server.version());
    let mut conn = AsyncMysqlConnection::establish(server.tcp_url()).await?;
    conn.batch_execute(&format!(
        "DROP TABLE IF EXISTS diesel_named_lock_stock, diesel_named_lock_sales;
         CREATE TABLE diesel_named_lock_stock (id INT PRIMARY KEY, amount INT) ENGINE=InnoDB;
         CREATE TABLE diesel_named_lock_sales (id INT AUTO_INCREMENT PRIMARY KEY, left_in_stock INT) ENGINE=InnoDB;
         INSERT INTO diesel_named_lock_stock VALUES (1, {STOCK})"
    ))
    .await?;
    let told = sell(server.tcp_url()).await?;
    let outcome = check(&mut conn, told).await;
    conn.batch_execute("DROP TABLE diesel_named_lock_stock, diesel_named_lock_sales").await?;
    outcome
}

async fn sell(url: &str) -> Result<Told, Box<dyn Error>> {
    let [mut first, mut second] = [start(url).await?, start(url).await?];
    let told = clients::send(&[first.1, second.1]).await?;
    for (process, _) in [&mut first, &mut second] {
        drop(process.stdin.take());
        if !process.wait().await?.success() {
            return Err("a process failed".into());
        }
    }
    Ok(told)
}

/// The process and its port.
async fn start(url: &str) -> Result<(Child, u16), Box<dyn Error>> {
    let mut command = Command::new(env::current_exe()?);
    command.arg("serve").env("DATABASE_URL", url).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut process = command.spawn()?;
    let mut port = String::new();
    BufReader::new(process.stdout.as_mut().ok_or("no output")?).read_line(&mut port).await?;
    Ok((process, port.trim().parse()?))
}

diesel::define_sql_function! { fn is_used_lock(name: Text) -> Nullable<Unsigned<BigInt>>; }

async fn check(conn: &mut AsyncMysqlConnection, told: Told) -> Result<(), Box<dyn Error>> {
    let left: i32 = stock::table.select(stock::amount).first(conn).await?;
    let sold: Vec<i32> = sales::table.select(sales::left_in_stock).order(sales::id).load(conn).await?;
    let holder: Option<u64> = diesel::select(is_used_lock(LOCK)).get_result(conn).await?;
    println!("clients: {} were sold one, {} hung up, {} failed", told.sold, told.hung_up, told.failed);
    println!("tables:  {} sales, {left} left", sold.len());

    let checks = [
        ("some clients hung up, and nobody else noticed", told.hung_up > 0 && told.failed == 0),
        ("every sale took one from the stock", sold.iter().copied().eq((left..STOCK).rev())),
        ("whoever was sold one has a sale", (told.sold..=told.sold + told.hung_up).contains(&sold.len())),
        ("no lock was left", holder.is_none()),
    ];
    for (claim, holds) in checks {
        println!("{} {claim}", if holds { "yes:" } else { "NO, NOT TRUE:" });
    }
    match checks.iter().all(|(_, holds)| *holds) {
        true => Ok(()),
        false => Err("stock, sales and locks do not agree".into()),
    }
}
