//! A process that migrates, as each instance of an application does at its start.

use diesel::prelude::*;
use diesel_migrations::FileBasedMigrations;
use diesel_named_lock::migration::{MigrationError, MigrationExt};
use tempfile::TempDir;
use testkit::{
    child::{self, Child},
    world::{SOON, id},
};

use crate::stage::{Database, texts};

/// In a child: prints the connection's id, waits until it may continue, migrates, and prints the outcome.
pub fn main(arguments: &[String]) {
    let mut conn = MysqlConnection::establish(&arguments[0]).expect("a connection");
    let source = FileBasedMigrations::from_path(&arguments[1]).expect("a folder of migrations");
    child::say(id(&mut conn));
    child::go();
    match conn.run_pending_migrations_locked(source, SOON) {
        Ok(ran) => child::say(format!("ran {}", texts(ran).join(" ")).trim_end()),
        Err(MigrationError::Failed { version, .. }) => child::say(format!("failed at {version}")),
        Err(error) => child::say(error),
    }
}

pub struct Process {
    pub connection_id: u64,
    child: Child,
}

impl Process {
    /// Starts it, and waits until it is connected.
    pub fn start(database: &Database, migrations: &TempDir) -> Self {
        let folder = migrations.path().to_str().expect("a plain path");
        let mut child = Child::start(&[&database.url, folder], &[]);
        let connection_id = child.hear().parse().expect("its connection id");
        Self { connection_id, child }
    }

    /// Lets it continue.
    pub fn go(&mut self) {
        self.child.go();
    }

    /// What came of it.
    pub fn outcome(mut self) -> String {
        let outcome = self.child.hear();
        assert!(self.child.wait().success());
        outcome
    }

    pub fn kill(self) {
        self.child.kill();
    }
}
