//! What `flock(1)` does for one host, for all hosts: holds a named lock of the database server while a command runs.
//!
//! ```sh
//! cargo run --example flock -- --name nightly --timeout 10s -- COMMAND ARGUMENTS
//! ```
//!
//! The server is that of `--url` or `DATABASE_URL`. Without either, a private one is started for this one command: good
//! for a first look (`examples/run flock --name nightly -- date`), but nobody else can meet there.
//!
//! * It waits in the server's queue, first come, first served; on a terminal it tells whom for.
//! * `SIGINT`, `SIGTERM`, `SIGHUP` and `SIGQUIT` go on to the command, and the lock is released when that has ended. A
//!   `SIGINT` or `SIGQUIT` typed at the terminal is not passed on: the terminal sends it to the command, too.
//! * Every second it asks whether its session lives. When it does not, the lock is lost and another command may begin, so
//!   this one gets a `SIGTERM`: it may clean up, or ignore it and go on. Then the exit status says so.
//! * After a `kill -9` of this process the lock stays held until the command, too, has ended: it inherits the connection,
//!   as from `flock(1)`. Nobody keeps the session from being idle then: the server ends it after its `wait_timeout`.
//! * The exit status is the command's own, or one of those that `--help` lists.

use std::{error::Error, io::IsTerminal, process::ExitCode};

use clap::Parser;
use diesel::prelude::*;
use diesel_named_lock::NamedLockError;
use test_server::Server;

use crate::options::Options;

mod command;
mod options;
mod signals;
mod waiting;

const UNAVAILABLE: u8 = 69;
const LOST: u8 = 76;

fn main() -> ExitCode {
    let options = Options::parse();
    let status = run(&options).unwrap_or_else(|error| {
        eprintln!("flock: {error}");
        match error.downcast_ref::<NamedLockError>() {
            Some(NamedLockError::Timeout { .. }) => options.conflict_exit_code,
            _ => UNAVAILABLE,
        }
    });
    status.into()
}

/// The exit status, once the command has run or could not be started.
fn run(options: &Options) -> Result<u8, Box<dyn Error>> {
    let url = options.url.as_deref().filter(|url| !url.is_empty()).unwrap_or_else(|| Server::shared().url());
    let mut conn = MysqlConnection::establish(url)?;
    let waiting = std::io::stderr().is_terminal().then(|| waiting::tell(url, &options.name));
    let section = options.lock().section(&mut conn, |conn| {
        drop(waiting);
        command::run(&options.command, conn)
    })?;
    Ok(match section.error {
        None => section.value,
        Some(lost) => {
            eprintln!("flock: {lost} (it ended with status {})", section.value);
            LOST
        }
    })
}
