//! What users of named locks in other languages run into, and what becomes of it here. `docs::from_pymysqllock` lists these
//! troubles; those that are not here have their tests elsewhere, named there.

use std::{
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use backon::{BlockingRetryable, ConstantBuilder};
use diesel::{
    connection::SimpleConnection,
    prelude::*,
    result::{DatabaseErrorKind, Error},
    sql_query,
};
use diesel_named_lock::{NamedLock, NamedLockError, NamedLockExt};

use testkit::world::*;

fn counter() -> String {
    let table = fresh("trouble");
    connect()
        .batch_execute(&format!(
            "CREATE TABLE {table} (n INT NOT NULL) ENGINE = InnoDB; INSERT INTO {table} VALUES (5)"
        ))
        .unwrap();
    table
}

fn read(conn: &mut MysqlConnection, table: &str) -> Option<i64> {
    number(conn, &format!("SELECT CAST(n AS SIGNED) AS number FROM {table}"))
}

/// Error 1205, "Lock wait timeout exceeded", and a named lock that was not free: told apart by their variants, for Diesel
/// tells no numbers.
#[test]
fn a_row_lock_and_a_named_lock_that_time_out_are_different_errors() {
    let (table, name) = (counter(), fresh("told_apart"));
    let mut other = connect();
    other.batch_execute(&format!("BEGIN; UPDATE {table} SET n = 6")).unwrap();
    let mut conn = connect();
    conn.batch_execute("SET innodb_lock_wait_timeout = 1").unwrap();
    let mut sell = || {
        conn.with_named_lock_transaction(&name, Duration::from_millis(1500), |conn| {
            sql_query(format!("UPDATE {table} SET n = n - 1")).execute(conn)?;
            Ok::<_, NamedLockError>(())
        })
    };

    let row_lock = sell().unwrap_err();
    assert!(
        matches!(row_lock, NamedLockError::Database(Error::DatabaseError(DatabaseErrorKind::Unknown, _))),
        "{row_lock:?}"
    );
    assert!(!row_lock.is_timeout() && !row_lock.is_transient());
    assert_free(&name);

    other.batch_execute("COMMIT").unwrap();
    let elsewhere = hold_elsewhere(&name);
    let start = Instant::now();
    let named_lock = sell().unwrap_err();
    assert!(matches!(named_lock, NamedLockError::Timeout { .. }), "{named_lock:?}");
    // A wait for a named lock is not subject to `innodb_lock_wait_timeout`.
    assert!(start.elapsed() >= Duration::from_millis(1500), "{:?}", start.elapsed());

    drop(elsewhere);
    wait_until("the lock to be free", || holder(&name).is_none());
    sell().unwrap();
    assert_eq!(read(&mut conn, &table), Some(5));
}

/// InnoDB rolls back the statement only. The section as a whole does not keep half of its work.
#[test]
fn what_was_written_before_a_row_lock_timed_out_is_rolled_back_with_the_section() {
    let (free, taken, name) = (counter(), counter(), fresh("half"));
    let mut other = connect();
    other.batch_execute(&format!("BEGIN; UPDATE {taken} SET n = 6")).unwrap();
    let mut conn = connect();
    conn.batch_execute("SET innodb_lock_wait_timeout = 1").unwrap();
    let outcome: Result<(), NamedLockError> = conn.with_named_lock_transaction(&name, SOON, |conn| {
        sql_query(format!("UPDATE {free} SET n = 4")).execute(conn)?;
        sql_query(format!("UPDATE {taken} SET n = 4")).execute(conn)?;
        Ok(())
    });
    assert!(matches!(outcome, Err(NamedLockError::Database(_))), "{outcome:?}");
    assert_eq!(read(&mut conn, &free), Some(5));
    assert_free(&name);
}

/// "Could not obtain the lock within 10 seconds."
#[test]
fn a_retry_with_backoff_gets_the_lock_and_has_learnt_its_holder() {
    let (pool, name) = (pool_of_one(), fresh("retry"));
    let elsewhere = hold_elsewhere(&name);
    let (id_elsewhere, mut elsewhere) = (elsewhere.id, Some(elsewhere));
    let mut holders = Vec::new();
    let attempt = || {
        let mut conn = pool.get().expect("a checkout");
        conn.with_named_lock(&name, Duration::from_millis(50), |_| Ok::<_, NamedLockError>(()))
    };
    let outcome = attempt
        .retry(ConstantBuilder::new().with_delay(Duration::from_millis(20)).with_max_times(50))
        .sleep(thread::sleep)
        .when(NamedLockError::is_transient)
        .notify(|error, _| {
            let NamedLockError::Timeout { holder, .. } = error else { panic!("{error:?}") };
            holders.push(holder.as_ref().map(|holder| holder.connection_id));
            // On the third attempt it is free.
            if holders.len() == 2 {
                elsewhere = None;
            }
        })
        .call();
    outcome.unwrap();
    assert_eq!(holders[..2], [Some(id_elsewhere.into()), Some(id_elsewhere.into())]);
    assert_free(&name);
}

/// By hand, in the order in which it is always done wrong. A section in such a transaction is refused.
#[test]
fn a_snapshot_that_is_older_than_a_lock_by_hand_does_not_see_the_last_holders_write() {
    let (table, name) = (counter(), fresh("stale"));
    let mut conn = connect();
    conn.batch_execute("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ").unwrap();
    let mut last_holder = hold_elsewhere(&name);

    let (seen, refused) = conn
        .transaction(|conn| {
            assert_eq!(read(conn, &table), Some(5));
            sql_query(format!("UPDATE {table} SET n = 4")).execute(&mut last_holder.conn)?;
            assert_eq!(release_lock(&mut last_holder.conn, &name), Some(1));

            assert_eq!(get_lock(conn, &name, 20), Some(1));
            let seen = read(conn, &table);
            assert_eq!(release_lock(conn, &name), Some(1));
            let refused: Result<(), NamedLockError> = conn.with_named_lock(&name, SOON, |_| Ok(()));
            Ok::<_, Error>((seen, refused))
        })
        .unwrap();
    assert_eq!(seen, Some(5), "the lock was held, and what was read is older than it");
    assert!(matches!(refused, Err(NamedLockError::OpenTransaction { depth: 1, .. })), "{refused:?}");

    let seen: Result<_, NamedLockError> = conn.with_named_lock_transaction(&name, SOON, |conn| Ok(read(conn, &table)));
    assert_eq!(seen.unwrap(), Some(4));
}

/// Elsewhere, the default is to wait for ever. (That timeouts are kept is tested in `waiting`.)
#[test]
fn no_section_waits_for_ever_unless_it_asks_for_it() {
    let lock = NamedLock::new("default").unwrap();
    assert_eq!(lock, lock.clone().timeout(NamedLock::DEFAULT_TIMEOUT));
    assert_ne!(lock, lock.clone().wait_forever());
    assert_eq!(NamedLock::DEFAULT_TIMEOUT, Duration::from_secs(10));
}

#[test]
fn a_wait_for_ever_can_be_interrupted() {
    let name = fresh("for_ever");
    let _elsewhere = hold_elsewhere(&name);
    let mut conn = connect();
    let own = id(&mut conn);
    let (tell, told) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(|| {
            let lock = NamedLock::new(&name).unwrap().wait_forever();
            let outcome: Result<(), NamedLockError> = lock.run(&mut conn, |_| Ok(()));
            tell.send(outcome).unwrap();
        });
        wait_until_waiting(own);
        kill_query(own);
        let outcome = told.recv_timeout(SOON).expect("the wait to end");
        assert!(matches!(outcome, Err(NamedLockError::Interrupted { .. })), "{outcome:?}");
    });
}
