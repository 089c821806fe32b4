//! What named locks are worth on a server, and which of them are held at present.
//!
//! `examples/run doctor` looks at a private server, started for it; with `DATABASE_URL` set, at that one. Ends with an error
//! where named locks don't protect what they seem to, so that it can be a step of a deployment.

use std::process::ExitCode;

use diesel::{Connection, MysqlConnection, QueryResult};
use diesel_named_lock::operator::{NamedLocks, Severity, named_locks, server_report};
use test_server::Server;

fn main() -> ExitCode {
    let mut conn = match MysqlConnection::establish(Server::shared().url()) {
        Ok(conn) => conn,
        Err(error) => {
            eprintln!("no connection: {error}");
            return ExitCode::FAILURE;
        }
    };
    match examine(&mut conn) {
        Ok(Severity::Info | Severity::Warning) => ExitCode::SUCCESS,
        Ok(Severity::Danger) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("the server does not answer: {error}");
            ExitCode::FAILURE
        }
    }
}

fn examine(conn: &mut MysqlConnection) -> QueryResult<Severity> {
    let report = server_report(conn)?;
    println!("{report}\n");
    match named_locks(conn) {
        Ok(seen) => print(&seen),
        Err(error) => println!("{error}"),
    }
    Ok(report.max_severity())
}

fn print(seen: &NamedLocks) {
    println!("named locks held: {}", seen.locks.len());
    for lock in &seen.locks {
        match &lock.holder {
            Some(holder) => println!("  `{}`: {holder}", lock.name),
            None => println!("  `{}`: between two holders", lock.name),
        }
        lock.waiters.iter().for_each(|waiter| println!("      waiting: {waiter}"));
    }
    seen.unassigned_waiters.iter().for_each(|waiter| println!("  waiting for one of them: {waiter}"));
}
