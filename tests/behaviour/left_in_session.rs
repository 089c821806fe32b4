//! What a closure leaves in its session besides transactions and locks: the section's release does not stumble over it, and does
//! not end it.

use diesel::{connection::SimpleConnection, prelude::*, r2d2::Pool, sql_query};
use diesel_named_lock::{NamedLockError, NamedLockExt, pool::CleanSessions};

use testkit::world::*;

/// Whether somebody else can write to the table.
fn is_writable(table: &str) -> bool {
    let mut other = connect();
    other.batch_execute("SET lock_wait_timeout = 1").unwrap();
    other.batch_execute(&format!("INSERT INTO {table} VALUES (1)")).is_ok()
}

#[test]
fn locked_tables_stay_in_a_pooled_session_until_its_next_transaction() {
    let (name, table) = (fresh("locked"), fresh("locked"));
    connect().batch_execute(&format!("CREATE TABLE {table} (a INT) ENGINE = InnoDB")).unwrap();
    let pool = Pool::builder().max_size(1).build(CleanSessions::new(Manager::new(server().url()))).unwrap();
    let outcome: Result<(), NamedLockError> = pool
        .get()
        .unwrap()
        .with_named_lock(&name, SOON, |conn| Ok(conn.batch_execute(&format!("LOCK TABLES {table} READ"))?));
    outcome.unwrap();
    assert_free(&name);
    assert!(!is_writable(&table), "the session in the pool has it locked");
    pool.get().unwrap().transaction(|_| QueryResult::Ok(())).unwrap();
    assert!(is_writable(&table));
}

#[test]
fn a_section_that_calls_a_procedure_with_result_sets_is_confirmed() {
    let procedure = fresh("procedure");
    let body = "BEGIN SELECT 1 AS number; SELECT 2 AS number; END";
    connect().batch_execute(&format!("CREATE PROCEDURE {procedure}() {body}")).unwrap();
    let (mut conn, name) = (connect(), fresh("call"));
    let outcome: Result<_, NamedLockError> = conn.with_named_lock(&name, SOON, |conn| {
        conn.batch_execute(&format!("CALL {procedure}()"))?;
        Ok(number(conn, "SELECT 7 AS number"))
    });
    assert_eq!(outcome.unwrap(), Some(7));
    assert_free(&name);
    assert_eq!(number(&mut conn, "SELECT 8 AS number"), Some(8));
}

/// libmariadb reads them, libmysqlclient does not, and then no statement is possible on that connection any more.
#[test]
fn result_sets_that_execute_leaves_unread_leave_no_lock_behind() {
    let procedure = fresh("procedure");
    connect().batch_execute(&format!("CREATE PROCEDURE {procedure}() SELECT 1 AS number")).unwrap();
    let (mut conn, name) = (connect(), fresh("call"));
    let outcome: Result<_, NamedLockError> = conn
        .with_named_lock(&name, SOON, |conn| Ok(sql_query(format!("CALL {procedure}()")).execute(conn).map(drop)?));
    assert!(matches!(outcome, Ok(()) | Err(NamedLockError::Lost { .. })), "{outcome:?}");
    drop(conn);
    assert_free_soon(&name);
}
