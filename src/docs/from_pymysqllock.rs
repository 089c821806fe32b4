//! The program in Rust.

use std::{env, error::Error, io, time::Duration};

use diesel::{Connection, MysqlConnection};
use diesel_named_lock::NamedLock;

fn main() -> Result<(), Box<dyn Error>> {
    let name = env::args().nth(1).ok_or("which lock?")?;
    let conn = MysqlConnection::establish(&env::var("DATABASE_URL")?)?;
    let lock = NamedLock::new(name)?.timeout(Duration::from_secs(60)).acquire(conn)?;
    let lock = lock.keep_alive(Duration::from_secs(10))?;
    critical_task()?;
    // The lock is released on every way out of this function. Here, it is also known to have been held to the end.
    lock.into_guard().release()?;
    Ok(())
}

fn critical_task() -> io::Result<()> {
    println!("Rust begins");
    io::copy(&mut io::stdin(), &mut io::sink())?; // Waits for the end of its input.
    println!("Rust ends");
    Ok(())
}
