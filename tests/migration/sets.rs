//! This crate's migrations beside those of an application.

use diesel::{
    migration::{self, Migration, MigrationSource},
    mysql::Mysql,
};
use diesel_migrations::{FileBasedMigrations, MigrationHarness};
use diesel_named_lock::migration::{MIGRATIONS, MigrationError, MigrationExt};

use testkit::world::*;

use crate::stage::*;

testkit::trials![
    the_crates_migrations_run_beside_those_of_an_application,
    both_sets_as_one_are_run_and_reverted,
    the_last_migration_of_an_application_is_reverted_and_done_again_by_its_own_set_alone,
    versions_of_the_crate_can_not_be_those_of_an_application_and_sort_before_them,
];

struct All(FileBasedMigrations);

impl MigrationSource<Mysql> for All {
    fn migrations(&self) -> migration::Result<Vec<Box<dyn Migration<Mysql>>>> {
        let mut all = MIGRATIONS.migrations()?;
        all.extend(self.0.migrations()?);
        Ok(all)
    }
}

fn ours() -> Vec<Box<dyn Migration<Mysql>>> {
    MIGRATIONS.migrations().unwrap()
}

fn the_crates_migrations_run_beside_those_of_an_application() {
    let (database, theirs) = (database(), three_tables());
    let mut conn = database.connect();
    for _ in 0..2 {
        conn.run_pending_migrations_locked(MIGRATIONS, SOON).unwrap();
        conn.run_pending_migrations_locked(source(&theirs), SOON).unwrap();
        assert_eq!(applied(&database).len(), ours().len() + 3);
    }
    assert!(database.has_table("named_lock_fences") && database.has_table("three"));

    let error = conn.revert_all_migrations_locked(MIGRATIONS, SOON).unwrap_err();
    assert!(matches!(error, MigrationError::Unplanned { .. }), "{error:?}");
    assert!(database.has_table("named_lock_fences"));
}

fn both_sets_as_one_are_run_and_reverted() {
    let (database, theirs) = (database(), three_tables());
    let mut conn = database.connect();
    let ran = conn.run_pending_migrations_locked(All(source(&theirs)), SOON).unwrap();
    assert_eq!(ran.len(), ours().len() + 3);
    let reverted = conn.revert_all_migrations_locked(All(source(&theirs)), SOON).unwrap();
    assert_eq!(reverted.len(), ran.len());
    assert!(!database.has_table("named_lock_fences") && !database.has_table("one"));
}

/// As `diesel migration revert` and `redo` do it, and as this crate does.
fn the_last_migration_of_an_application_is_reverted_and_done_again_by_its_own_set_alone() {
    let migrations = || migrations(&[("2026-11-01-090000_one", "CREATE TABLE one (id INT)", "DROP TABLE one")]);
    for is_first in [true, false] {
        let (database, theirs) = (database(), migrations());
        let mut conn = database.connect();
        if is_first {
            conn.run_pending_migrations_locked(source(&theirs), SOON).unwrap();
        }
        conn.run_pending_migrations_locked(MIGRATIONS, SOON).unwrap();
        conn.run_pending_migrations_locked(source(&theirs), SOON).unwrap();
        conn.redo_last_migration_locked(source(&theirs), SOON).unwrap();
        let reverted = conn.revert_last_migration(source(&theirs)).unwrap();
        assert_eq!(reverted.to_string(), "20261101090000");
        assert!(!database.has_table("one") && database.has_table("named_lock_fences"));
    }
}

/// Those of Diesel's command line tool are dates: digits only.
fn versions_of_the_crate_can_not_be_those_of_an_application_and_sort_before_them() {
    for migration in ours() {
        let version = migration.name().version().to_string();
        assert!(version.ends_with("namedlock") && *version < *"1970", "{version}");
    }
}
