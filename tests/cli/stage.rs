//! The program, and servers for it.

use std::{process::Command, sync::OnceLock};

use diesel::{connection::SimpleConnection, prelude::*};
use test_server::{Product, Server};
use testkit::{
    database::Database,
    program::{Finished, Program},
    world::{connect, is_mysql, server},
};

pub const SUBCOMMANDS: [&str; 11] =
    ["run", "list", "top", "doctor", "break", "holder", "quorum", "jobs", "init", "man", "completions"];

/// To be run on the test server.
pub fn tool(arguments: &[&str]) -> Command {
    tool_at(server().url(), arguments)
}

pub fn tool_at(url: &str, arguments: &[&str]) -> Command {
    // Tests that run in the background, or under nohup, ignore signals, and what they start would, too.
    let mut command = Command::new("env");
    command.args(["--default-signal", env!("CARGO_BIN_EXE_named-lock")]).args(arguments).env("DATABASE_URL", url);
    command
}

/// Without any environment.
pub fn bare_tool(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_named-lock"));
    command.args(arguments).env_clear();
    command
}

/// Runs it to its end.
#[track_caller]
pub fn finish(mut command: Command) -> Finished {
    Program::start(&mut command).finish()
}

/// One line, by this program, and no panic.
#[track_caller]
pub fn assert_one_sentence(stderr: &str, part: &str) {
    assert!(stderr.starts_with("named-lock: ") && stderr.lines().count() == 1, "{stderr}");
    assert!(stderr.contains(part), "{stderr:?} does not say {part:?}");
}

/// A server of a test's own, as it comes: MariaDB does not list its locks.
pub fn private_server() -> Server {
    Server::start(Product::wanted()).unwrap_or_else(|error| panic!("{error}"))
}

pub fn connect_to(server: &Server) -> MysqlConnection {
    MysqlConnection::establish(server.url()).expect("a connection")
}

pub fn let_locks_be_listed(conn: &mut MysqlConnection) {
    if !is_mysql() {
        let install = "INSTALL PLUGIN IF NOT EXISTS metadata_lock_info SONAME 'metadata_lock_info'";
        conn.batch_execute(install).expect("the plugin that `tests/setup.sh` fetched");
    }
}

/// From here on, the shared server lists its locks.
pub fn listing_server() -> &'static Server {
    static PREPARED: OnceLock<()> = OnceLock::new();
    PREPARED.get_or_init(|| let_locks_be_listed(&mut connect()));
    server()
}

/// Makes the tables as the program says.
pub fn init(database: &Database, options: &[&str]) {
    let printed = finish(bare_tool(&[&["init"], options].concat()));
    assert_eq!(printed.status, 0, "{}", printed.stderr);
    database.connect().batch_execute(&printed.stdout).expect("SQL");
}
