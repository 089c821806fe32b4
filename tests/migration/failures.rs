//! Migrations that fail, and what is told of them.

use std::thread;

use diesel::{connection::SimpleConnection, prelude::*};
use diesel_named_lock::{
    NamedLockError,
    migration::{MigrationError, MigrationExt, Step},
};

use testkit::world::*;

use crate::stage::*;

testkit::trials![
    a_migration_that_fails_is_reported_with_its_version_and_what_was_done_before,
    a_session_killed_in_the_middle_is_reported_with_the_version_that_was_running,
    a_lock_lost_under_the_migrations_is_reported_with_what_they_did,
    a_connection_without_a_database_is_refused,
    an_open_transaction_is_refused_and_nothing_is_run,
    a_broken_connection_is_reported_and_nothing_is_run,
    after_a_query_of_the_harness_was_killed_the_same_connection_can_try_again,
];

fn a_migration_that_fails_is_reported_with_its_version_and_what_was_done_before() {
    let database = database();
    let migrations = migrations(&[
        ("1_one", "CREATE TABLE one (id INT)", ""),
        ("2_two", "CREATE TABLE half (id INT); CREATE TABLE one (id INT)", ""),
        ("3_three", "CREATE TABLE three (id INT)", ""),
    ]);
    // Then every later run stops there: the half is still in place.
    for before in [&["1"][..], &[]] {
        let error = database.connect().run_pending_migrations_locked(source(&migrations), SOON).unwrap_err();
        let message = error.to_string();
        assert!(message.starts_with("migration 2_two failed to run (version 2; done before it: "), "{message}");
        let MigrationError::Failed { step, version, name, done, .. } = error else { panic!("{message}") };
        assert_eq!((step, version.to_string().as_str(), name.as_str()), (Step::Run, "2", "2_two"));
        assert_eq!(texts(done), before);
        assert_free(&lock_name(&database));
    }
    assert_eq!(applied(&database), ["1"]);
    assert!(database.has_table("half") && !database.has_table("three"));
}

fn a_session_killed_in_the_middle_is_reported_with_the_version_that_was_running() {
    let database = database();
    let gate = fresh("gate");
    let _keeper = hold_elsewhere(&gate);
    let stuck = format!("CREATE TABLE half (id INT); DO GET_LOCK('{gate}', 60)");
    let migrations = migrations(&[("1_one", "CREATE TABLE one (id INT)", ""), ("2_two", &stuck, "")]);
    let pool = database.pool_of_one();
    let mut conn = pool.get().unwrap();
    let own = id(&mut conn);
    let outcome = thread::scope(|scope| {
        scope.spawn(|| {
            wait_until_waiting(own);
            kill(own);
        });
        conn.run_pending_migrations_locked(source(&migrations), SOON)
    });
    match outcome {
        Err(MigrationError::Failed { version, done, .. }) => {
            assert_eq!((version.to_string().as_str(), texts(done)), ("2", vec!["1".to_owned()]));
        }
        other => panic!("{other:?}"),
    }
    drop(conn);
    assert_free_soon(&lock_name(&database));
    assert_sound(&pool, &lock_name(&database));
}

fn a_lock_lost_under_the_migrations_is_reported_with_what_they_did() {
    let database = database();
    let careless = migrations(&[("1_one", "CREATE TABLE one (id INT)", ""), ("2_two", "DO RELEASE_ALL_LOCKS()", "")]);
    match database.connect().run_pending_migrations_locked(source(&careless), SOON) {
        Err(MigrationError::Lost { done, source: NamedLockError::Lost { .. }, .. }) => {
            assert_eq!(texts(done), ["1", "2"])
        }
        other => panic!("{other:?}"),
    }
}

fn a_connection_without_a_database_is_refused() {
    let (mut conn, gone) = (connect(), fresh("gone"));
    conn.batch_execute(&format!("CREATE DATABASE {gone}; USE {gone}; DROP DATABASE {gone}")).unwrap();
    let error = conn.run_pending_migrations_locked(source(&three_tables()), SOON).unwrap_err();
    assert!(matches!(error, MigrationError::NoDatabase), "{error:?}");
    conn.batch_execute("DO 0").unwrap();
}

fn an_open_transaction_is_refused_and_nothing_is_run() {
    let database = database();
    let mut conn = database.connect();
    conn.transaction(|conn| {
        let error = conn.run_pending_migrations_locked(source(&three_tables()), SOON).unwrap_err();
        assert!(matches!(error, MigrationError::Lock(NamedLockError::OpenTransaction { .. })), "{error:?}");
        QueryResult::Ok(())
    })
    .unwrap();
    assert!(!database.has_table("one"));
}

fn a_broken_connection_is_reported_and_nothing_is_run() {
    let database = database();
    let mut conn = database.connect();
    let own = id(&mut conn);
    kill(own);
    wait_until("the session to end", || !is_alive(own));
    let error = conn.run_pending_migrations_locked(source(&three_tables()), SOON).unwrap_err();
    assert!(matches!(error, MigrationError::Unplanned { .. }), "{error:?}");
    assert!(!database.has_table("one"));
}

/// The harness's query waits for a row that is locked, and is killed after the server has begun its answer: run again from
/// Diesel's statement cache, it would wait for ever with libmariadb.
fn after_a_query_of_the_harness_was_killed_the_same_connection_can_try_again() {
    let (database, migrations) = (database(), three_tables());
    let mut conn = database.connect();
    conn.run_pending_migrations_locked(source(&migrations), SOON).unwrap();
    // So that a plain `SELECT` waits for locked rows.
    conn.batch_execute("SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE; SET autocommit = 0").unwrap();
    let (own, mut other) = (id(&mut conn), database.connect());
    other.batch_execute("BEGIN; SELECT * FROM __diesel_schema_migrations FOR UPDATE").unwrap();

    let tries = thread::spawn(move || {
        let mut run = || conn.run_pending_migrations_locked(source(&migrations), SOON);
        (run(), run())
    });
    let query = format!(
        "SELECT COUNT(*) AS number FROM {} WHERE ID = {own} AND INFO LIKE 'SELECT%__diesel_schema_migrations%'",
        process_list()
    );
    wait_until("the harness's query", || number(&mut connect(), &query) == Some(1));
    kill_query(own);
    other.batch_execute("ROLLBACK").unwrap();
    wait_until("both tries", || tries.is_finished());
    let (first, second) = tries.join().unwrap();
    assert!(matches!(first, Err(MigrationError::Unplanned { .. })), "{first:?}");
    assert_eq!(texts(second.unwrap()), [""; 0]);
}
