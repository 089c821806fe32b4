//! Which lock migrations take, and harnesses in between.

use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel_migrations::{HarnessWithOutput, MigrationHarness};
use diesel_named_lock::{
    NamedLock, NamedLockError,
    migration::{self, MigrationError, MigrationExt},
};

use testkit::world::*;

use crate::stage::*;

testkit::trials![
    while_the_lock_is_held_elsewhere_nothing_is_run_or_reverted,
    pooled_connections_migrate_and_go_back_without_the_lock,
    databases_on_one_server_do_not_wait_for_each_other,
    every_name_of_a_database_gives_a_lock_and_letter_case_does_not_count,
    a_database_has_one_lock_whatever_the_sessions_character_set,
    another_name_can_be_given,
    a_harness_with_output_works_under_the_lock_of_the_database,
];

#[track_caller]
fn assert_busy<T: std::fmt::Debug>(outcome: Result<T, MigrationError>) {
    assert!(matches!(outcome, Err(MigrationError::Lock(NamedLockError::Timeout { .. }))), "{outcome:?}");
}

fn while_the_lock_is_held_elsewhere_nothing_is_run_or_reverted() {
    let (database, migrations) = (database(), three_tables());
    let mut conn = database.connect();
    let short = Duration::from_millis(1);
    let elsewhere = hold_elsewhere(&lock_name(&database));
    assert_busy(conn.run_pending_migrations_locked(source(&migrations), short));
    assert!(!database.has_table("one"));
    drop(elsewhere);

    conn.run_pending_migrations_locked(source(&migrations), SOON).unwrap();
    let _elsewhere = hold_elsewhere(&lock_name(&database));
    assert_busy(conn.revert_last_migration_locked(source(&migrations), short));
    assert_busy(conn.revert_all_migrations_locked(source(&migrations), short));
    assert_busy(conn.redo_last_migration_locked(source(&migrations), short));
    assert_eq!(applied(&database), ["3", "2", "1"]);
}

fn pooled_connections_migrate_and_go_back_without_the_lock() {
    let (database, migrations) = (database(), three_tables());
    let pool = database.pool_of_one();
    let ran = pool.get().unwrap().run_pending_migrations_locked(source(&migrations), SOON).unwrap();
    assert_eq!(texts(ran), ["1", "2", "3"]);
    assert_sound(&pool, &lock_name(&database));
}

fn databases_on_one_server_do_not_wait_for_each_other() {
    let (one, other) = (database(), database());
    let _elsewhere = hold_elsewhere(&lock_name(&one));
    let ran = other.connect().run_pending_migrations_locked(source(&three_tables()), Duration::ZERO).unwrap();
    assert_eq!(texts(ran), ["1", "2", "3"]);
}

/// MySQL manual, "Identifier Length Limits": at most 64 characters.
fn every_name_of_a_database_gives_a_lock_and_letter_case_does_not_count() {
    let plain = fresh("case");
    let long = database_named(format!("{plain}_{}", "l".repeat(63 - plain.len())));
    assert_eq!(long.name.len(), 64);
    long.connect().run_pending_migrations_locked(source(&three_tables()), SOON).unwrap();

    let (lower, upper) = (database_named(format!("{plain}_a")), database_named(format!("{plain}_A")));
    assert_eq!(lock_name(&lower), lock_name(&upper));
    assert_ne!(lock_name(&lower), lock_name(&long));
}

fn a_database_has_one_lock_whatever_the_sessions_character_set() {
    let database = database_named(fresh("é店"));
    let mut conn = connect();
    conn.batch_execute(&format!("USE {}", database.name)).unwrap();
    let usual = migration::database_lock(&mut conn).unwrap();
    for charset in ["latin1", "ascii", "gbk"] {
        conn.batch_execute(&format!("SET NAMES {charset}")).unwrap();
        assert_eq!(migration::database_lock(&mut conn).unwrap(), usual, "{charset}");
    }
    let ran = conn.run_pending_migrations_locked(source(&three_tables()), SOON).unwrap();
    assert_eq!(texts(ran), ["1", "2", "3"]);
}

fn another_name_can_be_given() {
    let (database, migrations) = (database(), three_tables());
    let mut conn = database.connect();
    let name = fresh("schema");
    let _elsewhere = hold_elsewhere(&lock_name(&database));
    let own = id(&mut conn);
    let outcome = NamedLock::new(&name).unwrap().run(&mut conn, |conn| {
        assert_eq!(holder(&name), Some(own));
        migration::run_pending(conn, source(&migrations))
    });
    assert_eq!(texts(outcome.unwrap()), ["1", "2", "3"]);

    let _elsewhere = hold_elsewhere(&name);
    let lock = NamedLock::new(&name).unwrap().no_wait();
    assert_busy(lock.run(&mut conn, |conn| migration::revert_last(conn, source(&migrations))));
}

fn a_harness_with_output_works_under_the_lock_of_the_database() {
    let (database, migrations) = (database(), three_tables());
    let mut conn = database.connect();
    let (lock, lock_name, mut output) =
        (migration::database_lock(&mut conn).unwrap(), lock_name(&database), Vec::new());
    let ran = lock.run(&mut conn, |conn| {
        assert!(holder(&lock_name).is_some());
        migration::run_pending(&mut HarnessWithOutput::new(conn, &mut output), source(&migrations))
    });
    assert_eq!(texts(ran.unwrap()), ["1", "2", "3"]);

    // Diesel's own methods, too: with its own errors.
    let outcome: Result<_, Box<dyn std::error::Error + Send + Sync>> = lock.run(&mut conn, |conn| {
        let mut harness = HarnessWithOutput::new(conn, &mut output);
        Ok(harness.revert_last_migration(source(&migrations))?.to_string())
    });
    assert_eq!(outcome.unwrap(), "3");
    let output = String::from_utf8(output).unwrap();
    let lines: Vec<_> = output.lines().collect();
    assert_eq!(
        lines,
        [
            "Running migration 1_one",
            "Running migration 2_two",
            "Running migration 3_three",
            "Rolling back migration 3_three"
        ]
    );
}
