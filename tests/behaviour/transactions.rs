//! Lock, then begin; commit, then release.

use std::{sync::mpsc, thread};

use diesel::{connection::SimpleConnection, prelude::*, result::Error, sql_query};
use diesel_named_lock::{NamedLock, NamedLockError, NamedLockExt};

use testkit::world::*;

fn counter() -> (String, String) {
    let table = fresh("counter");
    let mut conn = connect();
    sql_query(format!("CREATE TABLE {table} (n INT NOT NULL) ENGINE = InnoDB")).execute(&mut conn).unwrap();
    sql_query(format!("INSERT INTO {table} VALUES (0)")).execute(&mut conn).unwrap();
    (format!("SELECT CAST(n AS SIGNED) AS number FROM {table}"), table)
}

#[test]
fn the_snapshot_is_taken_after_the_lock_and_sees_what_the_last_holder_wrote() {
    let ((query, table), name) = (counter(), fresh("snapshot"));
    let mut elsewhere = hold_elsewhere(&name);
    let mut conn = connect();
    conn.batch_execute("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ").unwrap();
    let own = id(&mut conn);
    let seen = thread::scope(|scope| {
        let section = scope.spawn(|| {
            conn.with_named_lock_transaction(&name, SOON, |conn| Ok::<_, NamedLockError>(number(conn, &query)))
        });
        wait_until_waiting(own);
        sql_query(format!("UPDATE {table} SET n = 1")).execute(&mut elsewhere.conn).unwrap();
        assert_eq!(release_lock(&mut elsewhere.conn, &name), Some(1));
        section.join().unwrap()
    });
    assert_eq!(seen.unwrap(), Some(1));
}

#[test]
fn the_next_holder_finds_the_commit_done() {
    let ((query, table), name) = (counter(), fresh("commit"));
    let (ready, waiting) = mpsc::channel();
    let mut next = connect();
    let next_id = id(&mut next);
    thread::scope(|scope| {
        let section = scope.spawn(|| {
            connect().with_named_lock_transaction(&name, SOON, |conn| {
                ready.send(()).unwrap();
                wait_until_waiting(next_id);
                sql_query(format!("UPDATE {table} SET n = 1")).execute(conn)?;
                Ok::<_, NamedLockError>(())
            })
        });
        waiting.recv().unwrap();
        let seen: Result<_, NamedLockError> = next.with_named_lock(&name, SOON, |conn| Ok(number(conn, &query)));
        assert_eq!(seen.unwrap(), Some(1));
        section.join().unwrap().unwrap();
    });
}

#[test]
fn no_update_is_lost_among_several_sessions() {
    let ((query, table), name) = (counter(), fresh("increment"));
    let lock = NamedLock::new(&name).unwrap().timeout(SOON);
    let (threads, rounds) = (4, 25);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut conn = connect();
                for _ in 0..rounds {
                    let outcome: Result<(), NamedLockError> = lock.run_transaction(&mut conn, |conn| {
                        let n = number(conn, &query).unwrap();
                        sql_query(format!("UPDATE {table} SET n = {}", n + 1)).execute(conn)?;
                        Ok(())
                    });
                    outcome.unwrap();
                }
            });
        }
    });
    assert_eq!(number(&mut connect(), &query), Some(threads * rounds));
}

#[test]
fn an_error_rolls_back_and_the_lock_is_free() {
    let ((query, table), name) = (counter(), fresh("rollback"));
    let mut conn = connect();
    let outcome: Result<(), NamedLockError> = conn.with_named_lock_transaction(&name, SOON, |conn| {
        sql_query(format!("UPDATE {table} SET n = 1")).execute(conn)?;
        Err(Error::RollbackTransaction.into())
    });
    assert!(matches!(outcome, Err(NamedLockError::Database(Error::RollbackTransaction))), "{outcome:?}");
    assert_eq!(number(&mut conn, &query), Some(0));
    assert_free(&name);
}

#[test]
fn a_row_lock_that_times_out_inside_the_section_is_the_works_error_and_the_section_ends_cleanly() {
    let ((_, table), name) = (counter(), fresh("row_lock"));
    let mut elsewhere = connect();
    elsewhere.batch_execute(&format!("BEGIN; UPDATE {table} SET n = 2")).unwrap();
    let pool = pool_of_one();
    let mut conn = pool.get().unwrap();
    conn.batch_execute("SET innodb_lock_wait_timeout = 1").unwrap();
    let outcome: Result<(), NamedLockError> = conn.with_named_lock_transaction(&name, SOON, |conn| {
        sql_query(format!("UPDATE {table} SET n = 1")).execute(conn)?;
        Ok(())
    });
    assert!(matches!(outcome, Err(NamedLockError::Database(Error::DatabaseError(..)))), "{outcome:?}");
    assert_free(&name);
    drop(conn);
    assert_sound(&pool, &name);
}

#[test]
fn a_transaction_may_be_opened_and_closed_in_a_plain_section() {
    let ((query, table), name) = (counter(), fresh("inside"));
    let mut conn = connect();
    let outcome: Result<(), NamedLockError> = conn.with_named_lock(&name, SOON, |conn| {
        conn.transaction(|conn| {
            sql_query(format!("UPDATE {table} SET n = 1")).execute(conn)?;
            Ok(())
        })
    });
    outcome.unwrap();
    assert_eq!(number(&mut conn, &query), Some(1));
    assert_free(&name);
}
