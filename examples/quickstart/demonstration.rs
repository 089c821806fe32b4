//! The four processes, and what is to be seen of them.

use std::{
    env,
    error::Error,
    process::{Child, Command, ExitStatus},
};

use diesel::{connection::SimpleConnection, prelude::*, sql_types::Text};
use test_server::Server;

use crate::{Entry, LOCK, PROCESSES, SECTIONS_EACH, entries, timeline};

/// Starts the processes, and looks at what they have written.
pub fn run() -> Result<(), Box<dyn Error>> {
    let server = Server::shared();
    println!("{PROCESSES} processes, one named lock: `{LOCK}` of a {} server, {}", server.product(), server.version());
    let mut conn = MysqlConnection::establish(server.url())?;
    conn.batch_execute(
        "DROP TABLE IF EXISTS diesel_named_lock_quickstart;
         CREATE TABLE diesel_named_lock_quickstart (
             number INT, process INT, asked BIGINT, entered BIGINT, `left` BIGINT, PRIMARY KEY (number, process)
         )",
    )?;
    let outcome = start_processes(server.url()).and_then(|()| check(&mut conn));
    conn.batch_execute("DROP TABLE diesel_named_lock_quickstart")?;
    outcome
}

fn start_processes(url: &str) -> Result<(), Box<dyn Error>> {
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
