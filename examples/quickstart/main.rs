//! Four processes, each with a pool of its own, take turns at one table, by a named lock.
//!
//! Each section reads the last number in the table and, a little later, appends the next one. That is the classic race:
//! without the lock, two processes read the same number and one update is lost.
//!
//! `examples/run` runs it on a private server, started for it; with `DATABASE_URL` set, it runs on that one.

#![allow(missing_docs, reason = "for what Diesel's macros make")]

use std::{env, error::Error, thread, time::Duration};

use diesel::{
    dsl::{max, sql},
    mysql::Mysql,
    prelude::*,
    r2d2::{ConnectionManager, Pool},
    sql_types::BigInt,
};
use diesel_named_lock::{NamedLockError, NamedLockExt};

mod demonstration;
mod timeline;

const LOCK: &str = "quickstart";
const PROCESSES: i32 = 4;
const SECTIONS_EACH: i32 = 3;
const WORK: Duration = Duration::from_millis(50);

diesel::table! {
    diesel_named_lock_quickstart (number, process) {
        number -> Integer,
        process -> Integer,
        asked -> BigInt,
        entered -> BigInt,
        left -> BigInt,
    }
}
use diesel_named_lock_quickstart as entries;

/// One section. Its times are the server's, in microseconds: one clock for all processes.
#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = entries, check_for_backend(Mysql))]
struct Entry {
    number: i32,
    process: i32,
    asked: i64,
    entered: i64,
    left: i64,
}

fn main() -> Result<(), Box<dyn Error>> {
    match env::args().nth(1) {
        None => demonstration::run(),
        Some(process) => work(process.parse()?),
    }
}

/// What an application does. (Here, each of the four processes.)
fn work(process: i32) -> Result<(), Box<dyn Error>> {
    let pool = Pool::new(ConnectionManager::<MysqlConnection>::new(env::var("DATABASE_URL")?))?;
    for _ in 0..SECTIONS_EACH {
        let mut conn = pool.get()?;
        let asked = server_clock(&mut conn)?;
        conn.with_named_lock(LOCK, Duration::from_secs(10), |conn| append(conn, process, asked))?;
        drop(conn);
        thread::sleep(WORK * process.unsigned_abs());
    }
    Ok(())
}

/// Must not run twice at once.
fn append(conn: &mut MysqlConnection, process: i32, asked: i64) -> Result<(), NamedLockError> {
    let entered = server_clock(conn)?;
    let last: Option<i32> = entries::table.select(max(entries::number)).get_result(conn)?;
    thread::sleep(WORK);
    let left = server_clock(conn)?;
    let entry = Entry { number: last.unwrap_or(0) + 1, process, asked, entered, left };
    diesel::insert_into(entries::table).values(entry).execute(conn)?;
    Ok(())
}

fn server_clock(conn: &mut MysqlConnection) -> QueryResult<i64> {
    diesel::select(sql::<BigInt>("CAST(UNIX_TIMESTAMP(SYSDATE(6)) * 1000000 AS SIGNED)")).get_result(conn)
}
