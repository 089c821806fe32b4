//! Locks that outlive a function.

use std::{mem, time::Duration};

use diesel::{QueryResult, result::Error, sql_query};
use diesel_async::{RunQueryDsl, pooled_connection::bb8::Pool};
use diesel_named_lock::{
    GuardError, NamedLockError,
    nonblocking::{NamedLock, NamedLockExt, OwnedConnection},
};
use testkit::world::{
    SOON, assert_free, assert_free_soon, fresh, hold_elsewhere, holder, is_alive, is_in_state, kill, server, wait_until,
};
use tokio::runtime::Runtime;

use crate::world::{LONG, Manager, bb8_of, begin, connect, deadpool_of, drop_once, id, number};

async fn is_held_until_released<C: OwnedConnection>(mut conn: C) -> C {
    let (name, id) = (fresh("guard"), id(&mut conn).await);
    let mut guard = NamedLock::new(&*name).unwrap().acquire(conn).await.unwrap();
    assert_eq!((guard.connection_id().get(), holder(&name)), (id, Some(id)));
    assert_eq!(guard.names().len(), 1);
    assert!(guard.still_holds().await.unwrap());
    assert_eq!(number(&mut *guard, "SELECT 5 AS number").await, 5);
    let conn = guard.release().await.unwrap();
    assert_free(&name);
    conn
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guard_holds_its_lock_until_it_is_released_and_gives_the_connection_back() {
    drop(is_held_until_released(connect().await).await);
    drop(is_held_until_released(bb8_of(1).await.get_owned().await.unwrap()).await);
    let conn = tokio::spawn(async { is_held_until_released(deadpool_of(1).get().await.unwrap()).await }).await.unwrap();
    drop(is_held_until_released(conn).await);
}

async fn frees_when_dropped(conn: impl OwnedConnection) {
    let name = fresh("dropped");
    let guard = NamedLock::new(&*name).unwrap().acquire(conn).await.unwrap();
    assert!(holder(&name).is_some());
    drop(guard);
    assert_free_soon(&name);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guard_that_is_dropped_frees_its_lock_and_its_place_in_the_pool() {
    let (bb8, deadpool) = (bb8_of(1).await, deadpool_of(1));
    frees_when_dropped(connect().await).await;
    frees_when_dropped(bb8.get_owned().await.unwrap()).await;
    frees_when_dropped(deadpool.get().await.unwrap()).await;
    drop(is_held_until_released(bb8.get_owned().await.unwrap()).await);
    drop(is_held_until_released(deadpool.get().await.unwrap()).await);
}

async fn leaves_the_line_when_dropped(mut conn: impl OwnedConnection) {
    let (name, id) = (fresh("in_line"), id(&mut conn).await);
    let elsewhere = hold_elsewhere(&name);
    let acquire = NamedLock::new(&*name).unwrap().timeout(LONG).acquire(conn);
    drop_once(acquire, "it is in line", || is_in_state(id, "User lock")).await;
    wait_until("the session to be gone", || !is_alive(id));
    assert_eq!(holder(&name), Some(elsewhere.id));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acquire_that_is_dropped_leaves_the_line() {
    leaves_the_line_when_dropped(connect().await).await;
    leaves_the_line_when_dropped(bb8_of(1).await.get_owned().await.unwrap()).await;
    leaves_the_line_when_dropped(deadpool_of(1).get().await.unwrap()).await;
}

#[tokio::test]
async fn a_lock_that_is_busy_gives_the_connection_back() {
    let (name, mut conn) = (fresh("busy"), connect().await);
    let (id, elsewhere) = (id(&mut conn).await, hold_elsewhere(&name));
    let GuardError { mut conn, error, .. } = NamedLock::new(&*name).unwrap().no_wait().acquire(conn).await.unwrap_err();
    match error {
        NamedLockError::Timeout { holder: Some(holder), .. } => assert_eq!(holder.connection_id.get(), elsewhere.id),
        other => panic!("{other:?}"),
    }
    assert_eq!(crate::world::id(&mut conn).await, id);
}

#[tokio::test]
async fn a_guard_whose_session_is_killed_is_lost_when_it_is_released() {
    let name = fresh("killed");
    let mut guard = NamedLock::new(&*name).unwrap().acquire(connect().await).await.unwrap();
    kill(guard.connection_id().get());
    wait_until("the session to be gone", || !is_alive(guard.connection_id().get()));
    assert!(guard.still_holds().await.is_err());
    let error = guard.release().await.map(drop).unwrap_err().error;
    assert!(matches!(error, NamedLockError::Lost { .. }), "{error:?}");
}

#[tokio::test]
async fn a_transaction_left_open_is_rolled_back_and_told() {
    let name = fresh("left_open");
    let mut guard = NamedLock::new(&*name).unwrap().acquire(connect().await).await.unwrap();
    begin(&mut *guard).await.unwrap();
    let error = guard.release().await.map(drop).unwrap_err().error;
    assert!(matches!(error, NamedLockError::TransactionLeftOpen { depth: Some(1), .. }), "{error:?}");
    assert_free(&name);
}

#[tokio::test]
async fn a_guard_has_transactions_and_sections_over_other_locks() {
    let (name, other) = (fresh("outer"), fresh("inner"));
    let mut guard = NamedLock::new(&*name).unwrap().acquire(connect().await).await.unwrap();
    let rolled_back: QueryResult<()> = guard.transaction(async |_| Err(Error::RollbackTransaction)).await;
    assert_eq!(rolled_back, Err(Error::RollbackTransaction));
    let committed: QueryResult<usize> = guard.transaction(async |conn| sql_query("DO 1").execute(conn).await).await;
    assert_eq!(committed, Ok(0));
    let held = guard.with_named_lock(&*other, SOON, async |_| Ok::<_, NamedLockError>(holder(&other))).await.unwrap();
    assert_eq!(held, holder(&name));
    guard.release().await.unwrap();
}

#[tokio::test]
async fn a_guard_that_is_forgotten_is_in_no_pool() {
    let (name, pool) = (fresh("forgotten"), bb8_of(2).await);
    let guard = NamedLock::new(&*name).unwrap().acquire(pool.get_owned().await.unwrap()).await.unwrap();
    let id = guard.connection_id().get();
    mem::forget(guard);
    let mut conn = pool.get().await.unwrap();
    assert_ne!(crate::world::id(&mut conn).await, id);
    let second = tokio::time::timeout(Duration::from_millis(300), pool.get()).await;
    assert!(second.is_err(), "its connection stays out");
    assert_eq!(holder(&name), Some(id));
    kill(id);
}

/// bb8 replaces what is closed, in a task.
#[test]
fn a_guard_that_is_dropped_outside_its_runtime_costs_the_pool_no_slot() {
    let runtime = Runtime::new().unwrap();
    let pool = runtime.block_on(async {
        let builder = Pool::builder().max_size(2).min_idle(1).connection_timeout(SOON);
        builder.build(Manager::new(server().tcp_url())).await.unwrap()
    });
    let name = fresh("outside");
    let guard = runtime
        .block_on(async { NamedLock::new(&*name).unwrap().acquire(pool.get_owned().await.unwrap()).await.unwrap() });
    drop(guard);
    assert_free_soon(&name);
    runtime.block_on(async {
        let _both = [pool.get().await.unwrap(), pool.get().await.unwrap()];
    });
}
