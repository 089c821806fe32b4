//! Sections whose future is dropped, at each of their moments.

use std::{cell::RefCell, sync::OnceLock, time::Instant};

use diesel::{
    QueryResult,
    connection::{CacheSize, SimpleConnection},
    sql_query,
};
use diesel_async::{AsyncConnection, RunQueryDsl, SimpleAsyncConnection};
use diesel_named_lock::{
    NamedLockError,
    nonblocking::{NamedLock, NamedLockConnection, NamedLockExt, permits::Permits},
};
use testkit::world::{self, SOON, assert_free, assert_free_soon, fresh, hold_elsewhere, holder, is_alive, wait_until};
use tokio::runtime::Runtime;

use crate::{
    stage::{connect_slowly_to, polled},
    world::{LONG, Number, bb8_of, connect, deadpool_of, drop_once, id, number, table},
};

/// Only what the session's end can bring: the connection is refused by the next section.
async fn assert_refused<C: NamedLockConnection>(conn: &mut C, name: &str) {
    let refused = conn.with_named_lock(name, SOON, async |_| Ok::<_, NamedLockError>(())).await;
    assert!(matches!(refused, Err(NamedLockError::Broken { .. })), "{refused:?}");
}

async fn drop_in_the_closure<C: NamedLockConnection>(conn: &mut C, name: &str) {
    let section = conn.with_named_lock(name, SOON, async |_| {
        tokio::time::sleep(LONG).await;
        Ok::<_, NamedLockError>(())
    });
    drop_once(section, "the lock is held", || holder(name).is_some()).await;
}

async fn drop_in_line<C: NamedLockConnection>(conn: &mut C, name: &str) {
    let id = id(conn).await;
    let section = conn.with_named_lock(name, LONG, async |_| Ok::<_, NamedLockError>(()));
    drop_once(section, "it is in line", || world::is_in_state(id, "User lock")).await;
}

#[tokio::test]
async fn in_the_closure_the_session_ends_and_the_lock_is_free() {
    let (name, mut conn) = (fresh("closure"), connect().await);
    drop_in_the_closure(&mut conn, &name).await;
    assert_free_soon(&name);
    assert_refused(&mut conn, &name).await;
}

#[tokio::test]
async fn with_no_statement_prepared_the_session_is_killed() {
    let (name, mut conn) = (fresh("uncached"), connect().await);
    conn.set_prepared_statement_cache_size(CacheSize::Disabled);
    drop_in_the_closure(&mut conn, &name).await;
    assert_free_soon(&name);
    assert_refused(&mut conn, &name).await;
}

#[tokio::test]
async fn in_line_the_session_leaves_the_line_although_the_caller_keeps_the_connection() {
    let (name, mut conn) = (fresh("in_line"), connect().await);
    let (id, elsewhere) = (id(&mut conn).await, hold_elsewhere(&name));
    drop_in_line(&mut conn, &name).await;
    wait_until("the session to be gone", || !is_alive(id));
    assert_eq!(holder(&name), Some(elsewhere.id));
    assert_refused(&mut conn, &name).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_of_bb8_are_closed_and_their_slots_are_free() {
    let (name, pool) = (fresh("bb8"), bb8_of(1).await);
    let mut conn = pool.get().await.unwrap();
    let first = id(&mut conn).await;
    drop_in_the_closure(&mut conn, &name).await;
    drop(conn);
    assert_free_soon(&name);
    let mut conn = pool.get().await.unwrap();
    let second = id(&mut conn).await;
    assert_ne!(second, first);

    let elsewhere = hold_elsewhere(&name);
    drop_in_line(&mut conn, &name).await;
    drop(conn);
    assert_ne!(id(&mut pool.get().await.unwrap()).await, second);
    drop(elsewhere);
    wait_until("the session to be gone", || !is_alive(second));
    assert_free(&name);
}

#[tokio::test]
async fn connections_of_deadpool_are_closed_when_they_are_handed_out_and_the_lock_is_free_before() {
    let (name, pool) = (fresh("deadpool"), deadpool_of(1));
    let mut conn = pool.get().await.unwrap();
    let first = id(&mut conn).await;
    drop_in_the_closure(&mut conn, &name).await;
    drop(conn);
    assert_free_soon(&name);
    assert_ne!(id(&mut pool.get().await.unwrap()).await, first);
}

#[tokio::test]
async fn a_statement_that_runs_is_finished_first() {
    let (name, mut conn) = (fresh("statement"), connect().await);
    let id = id(&mut conn).await;
    let section = conn.with_named_lock(&*name, SOON, async |conn| {
        // Long enough to be met in it on a busy machine.
        sql_query("SELECT SLEEP(4)").execute(conn).await?;
        Ok::<_, NamedLockError>(())
    });
    drop_once(section, "it sleeps", || world::is_in_state(id, "User sleep")).await;
    assert_eq!(holder(&name), Some(id));
    assert_free_soon(&name);
}

#[tokio::test]
async fn a_transaction_is_rolled_back() {
    let (name, mut conn) = (fresh("transaction"), connect().await);
    let table = table(&mut conn).await;
    let insert = format!("INSERT INTO {table} VALUES (1)");
    let section = conn.with_named_lock_transaction(&*name, SOON, async |conn| -> QueryResult<()> {
        sql_query(&insert).execute(conn).await?;
        std::future::pending().await
    });
    let looks = RefCell::new(world::connect());
    looks.borrow_mut().batch_execute("SET SESSION TRANSACTION ISOLATION LEVEL READ UNCOMMITTED").unwrap();
    let count = format!("SELECT COUNT(*) AS number FROM {table}");
    drop_once(section, "the row is there", || world::number(&mut *looks.borrow_mut(), &count) == Some(1)).await;
    assert_free_soon(&name);
    assert_eq!(number(&mut connect().await, &count).await, 0);
}

/// More than a minute's worth of rows.
const MANY_ROWS: &str =
    "SELECT REPEAT('x', 1000000) AS number FROM information_schema.COLUMNS a, information_schema.COLUMNS b";

async fn drop_while_rows_arrive<C: NamedLockConnection>(conn: &mut C, lock: &NamedLock) {
    let arrive = OnceLock::new();
    let section = lock.run(conn, async |conn: &mut C| {
        let rows = sql_query(MANY_ROWS).load_stream::<Number>(conn).await?;
        arrive.set(()).unwrap();
        std::future::pending::<()>().await;
        drop(rows);
        Ok::<_, NamedLockError>(())
    });
    drop_once(section, "rows arrive", || arrive.get().is_some()).await;
}

#[tokio::test]
async fn while_rows_arrive_the_lock_is_free_although_the_caller_or_deadpool_keeps_the_connection() {
    let (name, other, pool) = (fresh("rows"), fresh("rows_too"), deadpool_of(1));
    // Each is acquired by a statement of its own.
    let permits = [4, 16, 64].map(|count| Permits::new(&*name, count).unwrap());
    let permits = permits.iter().flat_map(|permits| [permits.permit(), permits.permits(2).unwrap()]);
    let permits = permits.map(|lock| (lock, format!("{name}:permit#1")));
    let locks = [NamedLock::new(&*name).unwrap(), NamedLock::all_of([&*name, &*other]).unwrap()];
    for (lock, name) in locks.map(|lock| (lock, name.clone())).into_iter().chain(permits) {
        let mut plain = connect().await;
        drop_while_rows_arrive(&mut plain, &lock).await;
        assert_free_soon_of_async(name.clone()).await;
        assert_refused(&mut plain, &name).await;

        let mut pooled = pool.get().await.unwrap();
        drop_while_rows_arrive(&mut pooled, &lock).await;
        drop(pooled);
        assert_free_soon_of_async(name.clone()).await;
        assert_eq!(number(&mut pool.get().await.unwrap(), "SELECT 9 AS number").await, 9);
    }
}

#[tokio::test]
async fn at_each_await_of_a_section_over_many_locks_all_are_free() {
    let names: Vec<_> = (0..12).map(|_| fresh("many")).collect();
    let lock = NamedLock::all_of(&names).unwrap().timeout(SOON);
    for times in 1.. {
        let mut conn = connect_slowly_to(world::server().tcp_url()).await;
        let id = id(&mut conn).await;
        let outcome = polled(times, lock.run(&mut conn, async |_| Ok::<_, NamedLockError>(()))).await;
        if outcome.is_none() {
            // Until then, it may still be about to execute what was sent.
            tokio::task::spawn_blocking(move || wait_until("the session to be gone", || !is_alive(id))).await.unwrap();
        }
        names.iter().for_each(|name| assert_free(name));
        if let Some(outcome) = outcome {
            // Four statements, each of which is prepared before.
            assert!(outcome.is_ok() && times >= 8, "{outcome:?} after {times}");
            break;
        }
    }
}

#[tokio::test]
async fn while_rows_arrive_a_guard_that_is_dropped_frees_its_lock() {
    let name = fresh("rows");
    let mut guard = NamedLock::new(&*name).unwrap().acquire(deadpool_of(1).get().await.unwrap()).await.unwrap();
    let rows = sql_query(MANY_ROWS).load_stream::<Number>(&mut *guard).await.unwrap();
    assert!(holder(&name).is_some());
    drop(rows);
    drop(guard);
    assert_free_soon_of_async(name).await;
}

async fn assert_free_soon_of_async(name: String) {
    tokio::task::spawn_blocking(move || assert_free_soon(&name)).await.unwrap();
}

#[test]
fn the_end_of_the_runtime_frees_the_lock() {
    let name = fresh("runtime");
    let runtime = Runtime::new().unwrap();
    runtime.spawn({
        let name = name.clone();
        async move { drop_in_the_closure_of(connect().await, name).await }
    });
    wait_until("the lock to be held", || holder(&name).is_some());
    runtime.shutdown_background();
    assert_free_soon(&name);
}

async fn drop_in_the_closure_of(mut conn: impl NamedLockConnection, name: String) {
    let section = conn.with_named_lock(&*name, SOON, async |_| {
        tokio::time::sleep(LONG).await;
        Ok::<_, NamedLockError>(())
    });
    section.await.unwrap();
}

#[test]
fn without_a_runtime_the_lock_is_free_too() {
    let (name, runtime) = (fresh("no_runtime"), Runtime::new().unwrap());
    let mut conn = runtime.block_on(connect());
    let mut section = Box::pin(
        conn.with_named_lock(&*name, SOON, async |_| -> Result<(), NamedLockError> { std::future::pending().await }),
    );
    runtime.block_on(drop_once(&mut section, "the lock is held", || holder(&name).is_some()));
    drop(section);
    assert_free_soon(&name);
}

/// As `timeout(statement)` in the closure: the connection would answer the next question with the last answer. The statement waits for
/// the lock `gate` until it is dropped.
async fn drop_a_statement(conn: &mut impl NamedLockConnection, statement: &str) {
    let (gate, id) = (fresh("gate"), id(conn).await);
    let elsewhere = hold_elsewhere(&gate);
    let statement = sql_query(statement.replace("gate", &gate));
    drop_once(statement.execute(conn), "it runs", || world::is_in_state(id, "User lock")).await;
    drop(elsewhere);
}

#[tokio::test]
async fn a_statement_that_the_closure_drops_makes_the_section_lost_and_never_gives_a_wrong_answer() {
    let mut conn = connect().await;
    let table = table(&mut conn).await;
    conn.batch_execute(&format!("INSERT INTO {table} VALUES (1), (2)")).await.unwrap();
    let update = format!("UPDATE {table} SET n = n + GET_LOCK('gate', 60)");
    for statement in ["SELECT GET_LOCK('gate', 60)", "DO GET_LOCK('gate', 60)", &update] {
        for is_warm in [false, true] {
            let (name, mut conn) = (fresh("out_of_step"), connect().await);
            let lock = NamedLock::new(&*name).unwrap();
            if is_warm {
                lock.run(&mut conn, async |_| Ok::<_, NamedLockError>(())).await.unwrap();
            }
            let start = Instant::now();
            let outcome = lock.run(&mut conn, async |conn| {
                drop_a_statement(conn, statement).await;
                Ok::<_, NamedLockError>(())
            });
            let outcome = outcome.await;
            let took = start.elapsed();
            println!("{statement}, warm {is_warm}: {took:?}");
            assert!(matches!(outcome, Err(NamedLockError::Lost { .. })), "{statement}, warm {is_warm}: {outcome:?}");
            assert_free_soon(&name);
            assert_refused(&mut conn, &name).await;
        }
    }
}

#[tokio::test]
async fn inside_the_closure_still_holds_gives_no_answer_that_is_not_its_own() {
    let (name, mut conn) = (fresh("stale"), connect().await);
    let outcome = conn.with_named_lock(&*name, SOON, async |conn| {
        drop_a_statement(conn, "SELECT GET_LOCK('gate', 60)").await;
        let answer = conn.still_holds(&*name).await;
        assert!(matches!(answer, Err(NamedLockError::Database(_))), "{answer:?}");
        Ok::<_, NamedLockError>(())
    });
    assert!(matches!(outcome.await, Err(NamedLockError::Lost { .. })));
    assert_free_soon(&name);
}

/// It has the same connection.
#[tokio::test]
async fn a_section_inside_another_that_is_dropped_alone_makes_the_outer_one_lost() {
    let (outer, inner, mut conn) = (fresh("outer"), fresh("inner"), connect().await);
    let section = conn.with_named_lock(&*outer, SOON, async |conn| {
        drop_in_the_closure(conn, &inner).await;
        Ok::<_, NamedLockError>(())
    });
    let outcome = section.await;
    assert!(matches!(outcome, Err(NamedLockError::Lost { .. })), "{outcome:?}");
    assert_free_soon(&outer);
    assert_free_soon(&inner);
}
