//! Diesel's blocking harness on a connection of `diesel-async`, as the guide says.

use std::fs;

use diesel::prelude::*;
use diesel_async::{AsyncMysqlConnection, async_connection_wrapper::AsyncConnectionWrapper};
use diesel_migrations::{FileBasedMigrations, MigrationHarness};
use diesel_named_lock::migration::{MigrationError, MigrationExt, database_lock};
use tempfile::TempDir;
use testkit::{
    database::{Database, database},
    world::{SOON, assert_free, assert_free_soon},
};
use tokio::task::spawn_blocking;

/// A folder of migrations: the version, and `up.sql`.
fn migrations(all: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::new().expect("a folder");
    for (version, up) in all {
        let own = folder.path().join(format!("{version}_own"));
        fs::create_dir(&own).and_then(|()| fs::write(own.join("up.sql"), up)).expect("up.sql");
    }
    folder
}

async fn migrate(database: &Database, migrations: &TempDir) -> Result<usize, MigrationError> {
    let (url, source) = (database.tcp_url(), FileBasedMigrations::from_path(migrations.path()).unwrap());
    let migrated = spawn_blocking(move || {
        let mut conn = AsyncConnectionWrapper::<AsyncMysqlConnection>::establish(&url).expect("a connection");
        Ok(conn.run_pending_migrations_locked(source, SOON)?.len())
    });
    migrated.await.expect("no panic")
}

fn lock_name(database: &Database) -> String {
    database_lock(&mut database.connect()).expect("its lock").names()[0].to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_four_that_race_one_runs_each_migration() {
    let (database, migrations) = (
        database(),
        migrations(&[
            ("1", "CREATE TABLE one (id INT); INSERT INTO one VALUES (1)"),
            ("2", "CREATE TABLE two (id INT)"),
        ]),
    );
    let four = tokio::join!(
        migrate(&database, &migrations),
        migrate(&database, &migrations),
        migrate(&database, &migrations),
        migrate(&database, &migrations)
    );
    let mut ran = [four.0, four.1, four.2, four.3].map(Result::unwrap);
    ran.sort_unstable();
    assert_eq!(ran, [0, 0, 0, 2]);
    assert_eq!(database.connect().applied_migrations().unwrap().len(), 2);
    assert_free(&lock_name(&database));
}

#[tokio::test]
async fn one_that_fails_tells_the_version_and_the_lock_is_free() {
    let (database, migrations) = (database(), migrations(&[("1", "CREATE TABLE one (id INT)"), ("2", "NO SQL")]));
    match migrate(&database, &migrations).await {
        Err(MigrationError::Failed { version, done, .. }) => {
            assert_eq!((version.to_string().as_str(), done.len()), ("2", 1))
        }
        other => panic!("{other:?}"),
    }
    assert_free_soon(&lock_name(&database));
}
