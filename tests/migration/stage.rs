//! Migrations to run, and what became of them.

use std::fs;

use diesel_migrations::{FileBasedMigrations, MigrationHarness};
use diesel_named_lock::migration;
use tempfile::TempDir;

pub use testkit::database::{Database, database, database_named};

/// The name of the lock that migrations of this database take.
pub fn lock_name(database: &Database) -> String {
    migration::database_lock(&mut database.connect()).expect("its lock").names()[0].to_string()
}

/// Newest first.
pub fn applied(database: &Database) -> Vec<String> {
    texts(database.connect().applied_migrations().expect("the applied migrations"))
}

/// A folder of migrations: the name, `up.sql`, `down.sql`. What is before the name's first `_` is the version.
pub fn migrations(all: &[(&str, &str, &str)]) -> TempDir {
    let folder = TempDir::new().expect("a folder");
    for (name, up, down) in all {
        let own = folder.path().join(name);
        fs::create_dir(&own).and_then(|()| fs::write(own.join("up.sql"), up)).expect("up.sql");
        fs::write(own.join("down.sql"), down).expect("down.sql");
    }
    folder
}

/// Three tables, each from a migration of its own.
pub fn three_tables() -> TempDir {
    migrations(&[
        ("1_one", "CREATE TABLE one (id INT)", "DROP TABLE one"),
        ("2_two", "CREATE TABLE two (id INT)", "DROP TABLE two"),
        ("3_three", "CREATE TABLE three (id INT)", "DROP TABLE three"),
    ])
}

pub fn source(folder: &TempDir) -> FileBasedMigrations {
    FileBasedMigrations::from_path(folder.path()).expect("a folder of migrations")
}

pub fn texts(versions: impl IntoIterator<Item = impl ToString>) -> Vec<String> {
    versions.into_iter().map(|version| version.to_string()).collect()
}
