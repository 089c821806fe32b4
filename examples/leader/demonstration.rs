//! What is done to the leaders, and what is to be seen of it.

use std::{
    env,
    error::Error,
    io::Write as _,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use diesel::{connection::SimpleConnection, prelude::*};
use rustix::process::{Pid, Signal, kill_process};
use test_server::Server;
use url::Url;

use crate::{
    IDLE_LIMIT, LOCK, PROCESSES,
    timeline::{self, Event},
    writes::{Write, server_clock, writes},
};

/// An application that uses Diesel's migrations runs it as one of them.
const MIGRATION: &str = include_str!("../../migrations/00000000000001-namedlock_create_named_lock_fences/up.sql");
const DATABASE: &str = "diesel_named_lock_leader";
const A_WHILE: Duration = Duration::from_millis(400);
const PATIENCE: Duration = Duration::from_secs(30);

pub fn run() -> Result<(), Box<dyn Error>> {
    let server = Server::shared();
    println!("{PROCESSES} candidates for `{LOCK}` of a {} server, {}", server.product(), server.version());
    println!("idle limit {IDLE_LIMIT:?}\n");
    let mut url = Url::parse(server.url())?;
    let mut admin = MysqlConnection::establish(url.as_str())?;
    admin.batch_execute(&format!("DROP DATABASE IF EXISTS {DATABASE}; CREATE DATABASE {DATABASE}"))?;
    url.set_path(DATABASE);
    let outcome = elect(url.as_str());
    admin.batch_execute(&format!("DROP DATABASE {DATABASE}"))?;
    outcome
}

fn elect(url: &str) -> Result<(), Box<dyn Error>> {
    let mut conn = MysqlConnection::establish(url)?;
    conn.batch_execute(MIGRATION)?;
    conn.batch_execute("CREATE TABLE writes (at BIGINT PRIMARY KEY, process INT NOT NULL, term BIGINT NOT NULL)")?;
    let start = |process: i32| {
        let mut command = Command::new(env::current_exe()?);
        command.arg(process.to_string()).env("DATABASE_URL", url).stdin(Stdio::piped()).spawn()
    };
    let mut candidates = (1..=PROCESSES).map(start).collect::<Result<Vec<_>, _>>()?;
    let events = depose_leaders(&mut conn, &mut candidates);
    // Which closes its input.
    candidates.iter_mut().try_for_each(|candidate| candidate.wait().map(drop))?;
    let writes = writes::table.order(writes::at).select(Write::as_select()).load(&mut conn)?;
    timeline::print(&writes, &events?);
    if !writes.windows(2).all(|pair| pair[0].term <= pair[1].term) {
        return Err("NO, NOT TRUE: two leaders wrote in turns".into());
    }
    println!("yes: never did two leaders write in turns");
    Ok(())
}

fn depose_leaders(conn: &mut MysqlConnection, candidates: &mut [Child]) -> Result<Vec<Event>, Box<dyn Error>> {
    let mut events = Vec::new();
    let mut leader = leader_after(conn, 0)?;
    for (what, sign) in [("killed (kill -9)", b'K'), ("stopped (SIGSTOP)", b'S'), ("told to resign", b'R')] {
        thread::sleep(A_WHILE);
        let process = &mut candidates[leader.process as usize - 1];
        let pid = Pid::from_child(process);
        events.push(Event { at: server_clock(conn)?, what, sign, process: leader.process });
        match sign {
            b'K' => process.kill()?,
            b'S' => kill_process(pid, Signal::STOP)?,
            _ => process.stdin.as_mut().expect("a pipe").write_all(b"resign\n")?,
        }
        let next = leader_after(conn, leader.term);
        if sign == b'S' {
            kill_process(pid, Signal::CONT)?;
        }
        leader = next?;
    }
    thread::sleep(A_WHILE);
    Ok(events)
}

/// The first write of a leader with a later term.
fn leader_after(conn: &mut MysqlConnection, term: i64) -> Result<Write, Box<dyn Error>> {
    let start = Instant::now();
    let next = writes::table.filter(writes::term.gt(term)).order(writes::at).select(Write::as_select());
    while start.elapsed() < PATIENCE {
        if let Some(write) = next.first(conn).optional()? {
            return Ok(write);
        }
        thread::sleep(Duration::from_millis(1));
    }
    Err("nobody leads".into())
}
