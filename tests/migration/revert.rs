//! Reverting, and doing again.

use diesel::connection::SimpleConnection;
use diesel_named_lock::migration::{MigrationError, MigrationExt, Step};

use testkit::world::*;

use crate::stage::*;

testkit::trials![
    the_last_migration_is_reverted_and_its_version_returned,
    all_migrations_are_reverted_newest_first,
    the_last_migration_is_done_again,
    a_revert_that_fails_is_reported_with_its_version_and_what_was_done_before,
    a_redo_that_can_not_run_again_tells_that_it_has_reverted,
    if_a_version_is_unknown_none_is_reverted,
    if_none_is_applied_none_is_reverted,
];

fn the_last_migration_is_reverted_and_its_version_returned() {
    let (database, migrations) = (database(), three_tables());
    let mut conn = database.connect();
    conn.run_pending_migrations_locked(source(&migrations), SOON).unwrap();
    let version = conn.revert_last_migration_locked(source(&migrations), SOON).unwrap();
    assert_eq!(version.to_string(), "3");
    assert_eq!(applied(&database), ["2", "1"]);
    assert!(!database.has_table("three"));
    assert_free(&lock_name(&database));
}

fn all_migrations_are_reverted_newest_first() {
    let (database, migrations) = (database(), three_tables());
    let mut conn = database.connect();
    conn.run_pending_migrations_locked(source(&migrations), SOON).unwrap();
    let versions = conn.revert_all_migrations_locked(source(&migrations), SOON).unwrap();
    assert_eq!(texts(versions), ["3", "2", "1"]);
    assert!(applied(&database).is_empty());
    assert_free(&lock_name(&database));
    assert_eq!(conn.revert_all_migrations_locked(source(&migrations), SOON).unwrap(), []);
}

fn the_last_migration_is_done_again() {
    let (database, migrations) = (database(), three_tables());
    let mut conn = database.connect();
    conn.run_pending_migrations_locked(source(&migrations), SOON).unwrap();
    conn.batch_execute("INSERT INTO three VALUES (1)").unwrap();
    let version = conn.redo_last_migration_locked(source(&migrations), SOON).unwrap();
    assert_eq!(version.to_string(), "3");
    assert_eq!(applied(&database), ["3", "2", "1"]);
    assert_eq!(number(&mut conn, "SELECT COUNT(*) AS number FROM three"), Some(0), "it is a new table");
    assert_free(&lock_name(&database));
}

fn a_revert_that_fails_is_reported_with_its_version_and_what_was_done_before() {
    let (database, migrations) = (database(), three_tables());
    let mut conn = database.connect();
    conn.run_pending_migrations_locked(source(&migrations), SOON).unwrap();
    conn.batch_execute("DROP TABLE one").unwrap();
    match conn.revert_all_migrations_locked(source(&migrations), SOON) {
        Err(MigrationError::Failed { step: Step::Revert, version, done, .. }) => {
            assert_eq!((version.to_string().as_str(), texts(done)), ("1", texts(["3", "2"])));
        }
        other => panic!("{other:?}"),
    }
    assert_free(&lock_name(&database));
}

fn a_redo_that_can_not_run_again_tells_that_it_has_reverted() {
    let database = database();
    let migrations = migrations(&[("1_one", "CREATE TABLE one (id INT)", "SELECT 1")]);
    let mut conn = database.connect();
    conn.run_pending_migrations_locked(source(&migrations), SOON).unwrap();
    match conn.redo_last_migration_locked(source(&migrations), SOON) {
        Err(MigrationError::Failed { step: Step::Run, version, done, .. }) => {
            assert_eq!((version.to_string().as_str(), texts(done)), ("1", texts(["1"])));
        }
        other => panic!("{other:?}"),
    }
    assert!(applied(&database).is_empty());
}

fn if_a_version_is_unknown_none_is_reverted() {
    let (database, migrations) = (database(), three_tables());
    let mut conn = database.connect();
    conn.run_pending_migrations_locked(source(&migrations), SOON).unwrap();
    std::fs::remove_dir_all(migrations.path().join("1_one")).unwrap();
    let error = conn.revert_all_migrations_locked(source(&migrations), SOON).unwrap_err();
    assert!(matches!(error, MigrationError::Unplanned { .. }), "{error:?}");
    std::fs::remove_dir_all(migrations.path().join("3_three")).unwrap();
    let error = conn.revert_last_migration_locked(source(&migrations), SOON).unwrap_err();
    assert!(matches!(error, MigrationError::Unplanned { .. }), "{error:?}");
    assert_eq!(applied(&database), ["3", "2", "1"]);
}

fn if_none_is_applied_none_is_reverted() {
    let (database, migrations) = (database(), three_tables());
    let mut conn = database.connect();
    for outcome in [
        conn.revert_last_migration_locked(source(&migrations), SOON),
        conn.redo_last_migration_locked(source(&migrations), SOON),
    ] {
        assert!(matches!(outcome, Err(MigrationError::Unplanned { .. })), "{outcome:?}");
    }
}
