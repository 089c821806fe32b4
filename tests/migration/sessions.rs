//! What migrations leave in their session, and sessions that are not as usual.

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use diesel::{
    connection::{AnsiTransactionManager, BoxableConnection, SimpleConnection, TransactionManager},
    migration::{Migration, MigrationMetadata, MigrationName, MigrationSource, Result as AnyResult},
    mysql::Mysql,
    prelude::*,
};
use diesel_named_lock::migration::{self, MigrationError, MigrationExt};
use testkit::{striking::Striking, world::*};

use crate::stage::*;

testkit::trials![
    a_batch_into_which_kill_query_strikes_ends_and_frees_the_lock,
    the_timeouts_of_the_session_are_bounded_under_the_lock_and_restored_after_it,
    the_pool_closes_a_connection_on_which_migrations_ran_or_were_reverted,
    the_pool_keeps_a_connection_on_which_there_was_nothing_to_run,
    the_pool_closes_a_connection_on_which_a_migration_failed_or_panicked,
    a_plain_connection_is_marked_after_a_failure_only,
    migrations_outside_of_transactions_are_recorded_without_autocommit,
    migrations_run_however_often_a_statement_of_this_crate_is_struck,
];

/// Once in the middle of sixty short statements of one batch, each committed by itself. Some of these clients then wait for an
/// answer that never comes, while the server waits for the next statement.
fn a_batch_into_which_kill_query_strikes_ends_and_frees_the_lock() {
    const SIDE_BY_SIDE: u64 = 6;
    const ROUNDS: u64 = 8;
    let (outcomes, ended) = mpsc::channel();
    let hung = Arc::new(AtomicU32::new(0));
    let mut threads = Vec::new();
    for first in 0..SIDE_BY_SIDE {
        let (outcomes, hung) = (outcomes.clone(), Arc::clone(&hung));
        threads.push(thread::spawn(move || {
            for round in 0..ROUNDS {
                if hung.load(Ordering::SeqCst) == 0 {
                    let (outcome, took) = kill_into_batch(Duration::from_micros(60 * (round * SIDE_BY_SIDE + first)));
                    hung.fetch_add(u32::from(took >= migration::IDLE_LIMIT), Ordering::SeqCst);
                    outcomes.send(outcome).expect("a test that listens");
                }
            }
        }));
    }
    drop(outcomes);
    let mut struck = 0;
    loop {
        match ended.recv_timeout(migration::IDLE_LIMIT + SOON) {
            Ok(Ok(ran)) => assert_eq!(ran, ["1"]),
            Ok(Err(MigrationError::Failed { .. })) => struck += 1,
            Ok(Err(other)) => panic!("{other:?}"),
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("a migration hangs"),
        }
    }
    threads.into_iter().for_each(|thread| thread.join().expect("no assertion failed"));
    println!("{struck} batches were struck, {} waited in vain until the bound", hung.load(Ordering::SeqCst));
    assert!(struck > 0);
}

/// Returns the outcome, and after which time it came. `after` is how long the batch runs before.
fn kill_into_batch(after: Duration) -> (Result<Vec<String>, MigrationError>, Duration) {
    let (database, gate) = (database(), fresh("gate"));
    let mut keeper = hold_elsewhere(&gate);
    let inserts = "INSERT INTO short VALUES (1);\n".repeat(60);
    // What creates a table ends Diesel's transaction.
    let up = format!("CREATE TABLE short (id INT);\nDO GET_LOCK('{gate}', 60);\n{inserts}");
    let migrations = migrations(&[("1_short", &up, "")]);
    let mut conn = database.connect();
    let own = id(&mut conn);
    let killer = thread::spawn(move || {
        wait_until_waiting(own);
        release_lock(&mut keeper.conn, &gate);
        // Anywhere in it: no condition to be awaited.
        thread::sleep(after);
        keeper.conn.batch_execute(&format!("KILL QUERY {own}")).unwrap();
    });
    let start = Instant::now();
    let outcome = conn.run_pending_migrations_locked(source(&migrations), SOON);
    let took = start.elapsed();
    assert_eq!(holder(&lock_name(&database)), None, "{outcome:?}");
    killer.join().unwrap();
    (outcome.map(texts), took)
}

/// MySQL's default is 8 hours, too.
fn the_timeouts_of_the_session_are_bounded_under_the_lock_and_restored_after_it() {
    let database = database();
    let migrations = migrations(&[("1_bound", "CREATE TABLE bound AS SELECT @@wait_timeout AS seconds", "")]);
    let mut conn = database.connect();
    let timeout = |conn: &mut MysqlConnection| number(conn, "SELECT CAST(@@wait_timeout AS SIGNED) AS number");
    let before = timeout(&mut conn);
    conn.run_pending_migrations_locked(source(&migrations), SOON).unwrap();
    let bound = number(&mut conn, "SELECT CAST(seconds AS SIGNED) AS number FROM bound");
    assert_eq!(bound, Some(migration::IDLE_LIMIT.as_secs() as i64));
    assert_eq!(timeout(&mut conn), before);
}

const LEAVES_AUTOCOMMIT_OFF: &str = "SET autocommit = 0; CREATE TABLE t (id INT)";

fn the_pool_closes_a_connection_on_which_migrations_ran_or_were_reverted() {
    let database = database();
    let pool = database.pool_of_one();
    let migrations = migrations(&[("1_one", LEAVES_AUTOCOMMIT_OFF, "SET autocommit = 0; DROP TABLE t")]);
    let first = id(&mut pool.get().unwrap());
    pool.get().unwrap().run_pending_migrations_locked(source(&migrations), SOON).unwrap();
    let second = id(&mut pool.get().unwrap());
    pool.get().unwrap().batch_execute("INSERT INTO t VALUES (1)").unwrap();
    assert_eq!(number(&mut database.connect(), "SELECT COUNT(*) AS number FROM t"), Some(1));
    pool.get().unwrap().redo_last_migration_locked(source(&migrations), SOON).unwrap();
    let third = id(&mut pool.get().unwrap());
    pool.get().unwrap().revert_last_migration_locked(source(&migrations), SOON).unwrap();
    let fourth = id(&mut pool.get().unwrap());
    assert!(first != second && second != third && third != fourth, "{first}, {second}, {third}, {fourth}");
}

fn the_pool_keeps_a_connection_on_which_there_was_nothing_to_run() {
    let (database, migrations) = (database(), three_tables());
    database.connect().run_pending_migrations_locked(source(&migrations), SOON).unwrap();
    let pool = database.pool_of_one();
    let first = id(&mut pool.get().unwrap());
    assert_eq!(texts(pool.get().unwrap().run_pending_migrations_locked(source(&migrations), SOON).unwrap()), [""; 0]);
    assert_eq!(id(&mut pool.get().unwrap()), first);
}

/// A migration in Rust that panics.
struct Panics;

impl MigrationSource<Mysql> for Panics {
    fn migrations(&self) -> AnyResult<Vec<Box<dyn Migration<Mysql>>>> {
        Ok(vec![Box::new(Self)])
    }
}

impl Migration<Mysql> for Panics {
    fn run(&self, conn: &mut dyn BoxableConnection<Mysql>) -> AnyResult<()> {
        conn.batch_execute("SET foreign_key_checks = 0")?;
        panic!("on purpose")
    }

    fn revert(&self, _: &mut dyn BoxableConnection<Mysql>) -> AnyResult<()> {
        Ok(())
    }

    fn metadata(&self) -> &dyn MigrationMetadata {
        &Panicking
    }

    fn name(&self) -> &dyn MigrationName {
        &Panicking
    }
}

struct Panicking;

impl MigrationMetadata for Panicking {}

impl MigrationName for Panicking {
    fn version(&self) -> diesel::migration::MigrationVersion<'_> {
        "1".into()
    }
}

impl std::fmt::Display for Panicking {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("1_panics")
    }
}

/// With a table that stays locked as long as its session lives.
fn the_pool_closes_a_connection_on_which_a_migration_failed_or_panicked() {
    let database = database();
    let pool = database.pool_of_one();
    database.connect().batch_execute("CREATE TABLE written (id INT)").unwrap();
    let failing = migrations(&[("1_fails", "LOCK TABLES written WRITE; USE mysql; NONSENSE", "")]);
    let first = id(&mut pool.get().unwrap());
    let failed = pool.get().unwrap().run_pending_migrations_locked(source(&failing), SOON);
    assert!(matches!(failed, Err(MigrationError::Failed { .. })), "{failed:?}");
    let mut other = database.connect();
    other.batch_execute("SET SESSION lock_wait_timeout = 20; INSERT INTO written VALUES (1)").unwrap();
    let second = id(&mut pool.get().unwrap());
    assert_ne!(first, second);

    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let mut conn = pool.get().unwrap();
        let panicked = catch_unwind(AssertUnwindSafe(|| conn.run_pending_migrations_locked(Panics, SOON)));
        assert!(panicked.is_err());
        // No panic is under way any more, by which r2d2 would know.
        drop(conn);
    }));
    panicked.unwrap();
    assert_ne!(id(&mut pool.get().unwrap()), second);
    assert_free(&lock_name(&database));
}

fn is_marked(conn: &mut MysqlConnection) -> bool {
    AnsiTransactionManager::is_broken_transaction_manager(conn)
}

fn a_plain_connection_is_marked_after_a_failure_only() {
    let database = database();
    let mut conn = database.connect();
    conn.run_pending_migrations_locked(source(&three_tables()), SOON).unwrap();
    assert!(!is_marked(&mut conn));
    conn.revert_last_migration_locked(source(&three_tables()), SOON).unwrap();
    let unplanned = conn.revert_last_migration_locked(source(&migrations(&[])), SOON);
    assert!(matches!(unplanned, Err(MigrationError::Unplanned { .. })), "{unplanned:?}");
    assert!(!is_marked(&mut conn));
    let failed = conn.run_pending_migrations_locked(source(&migrations(&[("4_four", "NONSENSE", "")])), SOON);
    assert!(matches!(failed, Err(MigrationError::Failed { .. })), "{failed:?}");
    assert!(is_marked(&mut conn));
}

fn migrations_outside_of_transactions_are_recorded_without_autocommit() {
    let database = database();
    let folder = migrations(&[
        ("1_one", "CREATE TABLE one (id INT); INSERT INTO one VALUES (1)", "DROP TABLE one"),
        ("2_two", "SET autocommit = 0; CREATE TABLE two (id INT); INSERT INTO two VALUES (1)", "DROP TABLE two"),
        ("3_fails", "NONSENSE", ""),
    ]);
    for name in ["1_one", "2_two", "3_fails"] {
        fs::write(folder.path().join(name).join("metadata.toml"), "run_in_transaction = false").unwrap();
    }
    let mut conn = database.connect();
    conn.batch_execute("SET autocommit = 0").unwrap();
    let failed = conn.run_pending_migrations_locked(source(&folder), SOON);
    assert!(matches!(&failed, Err(MigrationError::Failed { done, .. }) if done.len() == 2), "{failed:?}");
    drop(conn);
    assert_eq!(applied(&database), ["2", "1"]);
    let rows = "SELECT (SELECT COUNT(*) FROM one) + (SELECT COUNT(*) FROM two) AS number";
    assert_eq!(number(&mut database.connect(), rows), Some(2));

    let mut conn = database.connect();
    conn.batch_execute("SET autocommit = 0").unwrap();
    conn.revert_last_migration_locked(source(&folder), SOON).unwrap();
    drop(conn);
    assert_eq!(applied(&database), ["1"]);
}

fn migrations_run_however_often_a_statement_of_this_crate_is_struck() {
    for (statement, times) in ["DATABASE()", "COMMIT AND NO CHAIN"].iter().flat_map(|s| [1, 2, 9].map(|t| (s, t))) {
        let (database, migrations) = (database(), three_tables());
        let proxy = Striking::to(&database.tcp_url());
        let mut conn = MysqlConnection::establish(proxy.url()).unwrap();
        proxy.strike(times, statement);
        let ran = conn.run_pending_migrations_locked(source(&migrations), SOON);
        let ran = ran.unwrap_or_else(|error| panic!("{statement} struck {times} times: {error}"));
        assert_eq!((texts(ran).len(), proxy.struck()), (3, times), "{statement}");
    }
}
