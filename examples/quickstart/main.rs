//! Four processes, each with a pool of its own, take turns at one table, by a named lock.
//!
//! Each section reads the last number in the table and, a little later, appends the next one. That is the classic race:
//! without the lock, two processes read the same number and one update is lost.
//!
//! `examples/run` runs it on a private server, started for it; with `DATABASE_URL` set, it runs on that one.

#![allow(missing_docs, reason = "for what Diesel's macros make")]

use std::{
    env,
    error::Error,
    process::{Child, Command, ExitStatus},
    thread,
    time::Duration,
};

use diesel::{
    connection::SimpleConnection,
    dsl::{max, sql},
    mysql::Mysql,
    prelude::*,
    r2d2::{ConnectionManager, Pool},
    sql_types::{BigInt, Text},
};
use diesel_named_lock::{NamedLockError, NamedLockExt};
use test_server::Server;

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
        None => start_and_check(),
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

fn start_and_check() -> Result<(), Box<dyn Error>> {
    let server = Server::shared();
    println!("{PROCESSES} processes, one named lock: `{LOCK}` of a {} server, {}", server.product(), server.version());
    let mut conn = MysqlConnection::establish(server.url())?;
    conn.batch_execute(
        "DROP TABLE IF EXISTS diesel_named_lock_quickstart;
         CREATE TABLE diesel_named_lock_quickstart (
             number INT, process INT, asked BIGINT, entered BIGINT, `left` BIGINT, PRIMARY KEY (number, process)
         )",
    )?;
    let outcome = run_processes(server.url()).and_then(|()| check(&mut conn));
    conn.batch_execute("DROP TABLE diesel_named_lock_quickstart")?;
    outcome
}

fn run_processes(url: &str) -> Result<(), Box<dyn Error>> {
    let start =
        |process: i32| Command::new(env::current_exe()?).arg(process.to_string()).env("DATABASE_URL", url).spawn();
    let mut processes = (1..=PROCESSES).map(start).collect::<Result<Vec<_>, _>>()?;
    // All of them, before the table goes away.
    let ends = processes.iter_mut().map(Child::wait).collect::<Result<Vec<_>, _>>()?;
    match ends.iter().all(ExitStatus::success) {
        true => Ok(()),
        false => Err("a process failed".into()),
    }
}

diesel::define_sql_function! { fn is_used_lock(name: Text) -> Nullable<Unsigned<BigInt>>; }

fn check(conn: &mut MysqlConnection) -> Result<(), Box<dyn Error>> {
    let entries: Vec<Entry> = entries::table.select(Entry::as_select()).order(entries::entered).load(conn)?;
    let holder: Option<u64> = diesel::select(is_used_lock(LOCK)).get_result(conn)?;
    timeline::print(&entries);

    let checks = [
        ("no two sections overlapped", entries.windows(2).all(|pair| pair[0].left <= pair[1].entered)),
        ("no number was lost", entries.iter().map(|entry| entry.number).eq(1..=PROCESSES * SECTIONS_EACH)),
        ("no lock was left", holder.is_none()),
    ];
    for (claim, holds) in checks {
        println!("{} {claim}", if holds { "yes:" } else { "NO, NOT TRUE:" });
    }
    match checks.iter().all(|(_, holds)| *holds) {
        true => Ok(()),
        false => Err("the sections were not exclusive".into()),
    }
}
