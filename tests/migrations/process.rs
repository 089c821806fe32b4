//! A process that migrates, as each instance of an application does at its start.

use std::{
    env,
    io::{BufRead, BufReader, Write, stdin, stdout},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use diesel::prelude::*;
use diesel_migrations::FileBasedMigrations;
use diesel_named_lock::migration::{MigrationError, MigrationExt};
use tempfile::TempDir;

use crate::{
    stage::{Database, texts},
    world::{SOON, id},
};

/// The first argument of such a process; the next are the database's URL and the folder of the migrations.
const PROCESS: &str = "--process";

pub fn is_wanted() -> bool {
    env::args().nth(1).as_deref() == Some(PROCESS)
}

/// Says the connection's id, waits for a line, migrates, says what came of it.
pub fn main() {
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    let arguments: Vec<String> = env::args().collect();
    let mut conn = MysqlConnection::establish(&arguments[2]).expect("a connection");
    let source = FileBasedMigrations::from_path(&arguments[3]).expect("a folder of migrations");
    println!("{}", id(&mut conn));
    stdin().read_line(&mut String::new()).expect("a line");
    match conn.run_pending_migrations_locked(source, SOON) {
        Ok(ran) => println!("ran {}", texts(ran).join(" ")),
        Err(MigrationError::Failed { version, .. }) => println!("failed at {version}"),
        Err(error) => println!("{error}"),
    }
    stdout().flush().expect("an output");
}

pub struct Process {
    pub connection_id: u64,
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Process {
    /// Starts it, and waits until it is connected.
    pub fn start(database: &Database, migrations: &TempDir) -> Self {
        let mut child = Command::new(env::current_exe().expect("this program"))
            .args([PROCESS, &database.url])
            .arg(migrations.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process");
        let input = child.stdin.take().expect("its input");
        let mut output = BufReader::new(child.stdout.take().expect("its output"));
        let connection_id = line(&mut output).parse().expect("its connection id");
        Self { connection_id, child, input, output }
    }

    /// Lets it go on.
    pub fn go(&mut self) {
        writeln!(self.input, "go").expect("its input");
    }

    /// What came of it.
    pub fn outcome(mut self) -> String {
        let outcome = line(&mut self.output);
        assert!(self.child.wait().expect("its end").success());
        outcome
    }

    pub fn kill(mut self) {
        self.child.kill().and_then(|()| self.child.wait()).expect("its end");
    }
}

fn line(output: &mut impl BufRead) -> String {
    let mut line = String::new();
    output.read_line(&mut line).expect("a line");
    line.trim().to_owned()
}
