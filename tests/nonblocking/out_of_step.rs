//! Closures that leave their connection at odds with the server: it still answers something else, or will for long.

use std::{sync::Arc, time::Duration};

use diesel::{QueryResult, result::Error, sql_query};
use diesel_async::{AsyncConnection, RunQueryDsl, SimpleAsyncConnection};
use diesel_named_lock::{
    NamedLockError,
    nonblocking::{NamedLockConnection, NamedLockExt, pool::ConnectionPool, pool::NamedLockPool},
};
use testkit::world::{SOON, assert_free_soon, fresh, server};
use tokio::{sync::Notify, time::timeout};

use crate::{
    stage::{connect_slowly_to, polled},
    world::{Number, bb8_of, connect, deadpool_of, table},
};

/// More than anybody reads within the time limit of a release.
const MANY_ROWS: &str =
    "SELECT REPEAT('x', 1000000) AS number FROM information_schema.COLUMNS a, information_schema.COLUMNS b";

async fn leave_rows_unread(conn: &mut impl NamedLockConnection, name: &str) {
    let section = conn.with_named_lock(name, SOON, async |conn| {
        drop(sql_query(MANY_ROWS).load_stream::<Number>(conn).await?);
        Ok::<_, NamedLockError>(())
    });
    let outcome = section.await;
    assert!(matches!(outcome, Err(NamedLockError::Lost { .. })), "{outcome:?}");
}

/// The last `KILL` can't be sent then, so the connection is closed.
#[tokio::test]
async fn rows_that_the_closure_leaves_unread_keep_the_lock_no_longer_than_the_section() {
    let (name, mut plain, pool) = (fresh("unread"), connect().await, deadpool_of(1));
    leave_rows_unread(&mut plain, &name).await;
    assert_free_soon(&name);
    let mut pooled = pool.get().await.unwrap();
    leave_rows_unread(&mut pooled, &name).await;
    drop(pooled);
    assert_free_soon(&name);
}

/// The next task does not wait for a statement that may take long.
async fn is_killed_at_a_dropped_statement<P: ConnectionPool>(pool: P) {
    let (name, locks, mut other) = (fresh("stuck"), NamedLockPool::new(pool), connect().await);
    let table = table(&mut other).await;
    other.batch_execute(&format!("INSERT INTO {table} VALUES (1)")).await.unwrap();
    let (locked, done) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let holds_row = tokio::spawn({
        let (table, locked, done) = (table.clone(), locked.clone(), done.clone());
        async move {
            let update = format!("UPDATE {table} SET n = 2");
            let transaction: QueryResult<()> = other
                .transaction(async |conn| {
                    sql_query(&update).execute(conn).await?;
                    locked.notify_one();
                    done.notified().await;
                    Ok(())
                })
                .await;
            transaction.unwrap();
        }
    });
    locked.notified().await;
    let update = format!("UPDATE {table} SET n = 3");
    let section = locks.with_named_lock(&*name, SOON, async |conn| {
        let late = timeout(Duration::from_millis(100), sql_query(&update).execute(conn)).await;
        assert!(late.is_err());
        Ok::<_, NamedLockError>(())
    });
    let outcome = section.await;
    assert!(matches!(outcome, Err(NamedLockError::Lost { .. })), "{outcome:?}");
    locks.with_named_lock(&*name, SOON, async |_| Ok::<_, NamedLockError>(())).await.unwrap();
    done.notify_one();
    holds_row.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_is_lost_at_a_statement_is_killed_for_the_next_task_on_bb8() {
    is_killed_at_a_dropped_statement(bb8_of(2).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_is_lost_at_a_statement_is_killed_for_the_next_task_on_deadpool() {
    is_killed_at_a_dropped_statement(deadpool_of(2)).await;
}

/// In debug builds, `diesel-async` panics at the next statement of a transaction.
#[tokio::test]
async fn a_transaction_whose_own_statement_was_dropped_is_an_error_and_no_panic() {
    let (name, mut conn) = (fresh("savepoint"), connect_slowly_to(server().tcp_url()).await);
    let outcome: QueryResult<()> = conn
        .with_named_lock_transaction(&*name, SOON, async |conn| {
            let nested = conn.transaction::<(), Error, _>(async |_| Ok(()));
            assert!(polled(1, nested).await.is_none(), "it waits for its SAVEPOINT");
            Ok(())
        })
        .await;
    assert!(matches!(outcome, Err(Error::BrokenTransactionManager)), "{outcome:?}");
    assert_free_soon(&name);
}
