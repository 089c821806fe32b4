//! Tasks that queue in the process, on the connections of either pool.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use diesel::{QueryResult, connection::SimpleConnection as _, result::Error, sql_query};
use diesel_async::SimpleAsyncConnection as _;
use diesel_named_lock::{
    LockName, NamedLockError,
    nonblocking::{
        NamedLock,
        pool::{ConnectionPool, HandedOffEvent, HandleLockEvent, NamedLockPool, TimedOutEvent},
    },
};
use testkit::world::{SOON, assert_free, assert_free_soon, connect, fresh, hold_elsewhere, holder, is_in_state};
use tokio::{sync::oneshot, task::JoinSet};

use crate::world::{LONG, id, number, on_either_pool, until};

#[derive(Debug, Default)]
struct Seen {
    handed_off: AtomicU32,
    timed_out: AtomicU32,
}

impl HandleLockEvent for Seen {
    fn handle_handed_off(&self, _: HandedOffEvent<'_>) {
        self.handed_off.fetch_add(1, Ordering::Relaxed);
    }

    fn handle_timed_out(&self, _: TimedOutEvent<'_>) {
        self.timed_out.fetch_add(1, Ordering::Relaxed);
    }
}

fn watched<P: ConnectionPool>(pool: P) -> (NamedLockPool<P>, Arc<Seen>) {
    let seen = Arc::new(Seen::default());
    let builder = NamedLockPool::builder(pool).max_hand_offs(1000).max_hand_off_time(LONG);
    (builder.event_handler(Box::new(seen.clone())).build(), seen)
}

on_either_pool! {
    tasks_are_alone_and_are_handed_the_lock_in_turn => are_alone(2);
    a_task_that_waits_needs_no_connection => needs_no_connection(1);
    a_task_that_is_dropped_in_line_leaves_it => leaves_the_line(1);
    a_section_that_is_dropped_is_followed_by_the_next_task => is_followed(2);
    a_statement_that_runs_when_its_section_is_dropped_is_killed => is_killed(2);
    a_task_that_is_dropped_as_it_is_called_strands_nobody => strands_nobody(2);
    the_timeout_covers_the_queue => times_out(1);
    a_lock_that_is_busy_is_not_tried_for_long => tries(2);
    several_locks_and_transactions_run_on_the_pool => runs_all(1);
    a_panic_of_the_closure_releases_the_lock => survives_a_panic(1);
    what_raw_sql_began_before_a_panic_is_not_committed_by_the_next_user_of_the_pool => begins_and_panics(1);
    a_guard_hands_its_lock_on => guards_hand_on(2);
    a_pool_without_a_connection_is_told => is_exhausted(1);
}

async fn are_alone<P: ConnectionPool>(pool: P) {
    let (name, (locks, seen)) = (fresh("alone"), watched(pool));
    let inside = Arc::new(Mutex::new(()));
    let mut tasks = JoinSet::new();
    for _ in 0..40 {
        let (name, locks, inside) = (name.clone(), locks.clone(), inside.clone());
        tasks.spawn(async move {
            for _ in 0..3 {
                let section = locks.with_named_lock(&*name, SOON, async |conn| {
                    let alone = inside.try_lock().is_ok();
                    assert!(alone && holder(&name) == Some(id(conn).await));
                    Ok::<_, NamedLockError>(())
                });
                section.await.unwrap();
            }
        });
    }
    tasks.join_all().await;
    assert!(seen.handed_off.load(Ordering::Relaxed) > 60, "{seen:?}");
    assert_eq!(locks.total_waiting(), 0);
    assert_free(&name);
}

async fn hold<P: ConnectionPool>(locks: NamedLockPool<P>, name: String) {
    let section = locks.with_named_lock(&*name, SOON, async |_| {
        tokio::time::sleep(LONG).await;
        Ok::<_, NamedLockError>(())
    });
    section.await.unwrap();
}

async fn pass<P: ConnectionPool>(locks: NamedLockPool<P>, name: String) {
    locks.with_named_lock(&*name, SOON, async |_| Ok::<_, NamedLockError>(())).await.unwrap();
}

async fn needs_no_connection<P: ConnectionPool>(pool: P) {
    let (name, locks) = (fresh("queue"), NamedLockPool::new(pool));
    let lock_name = LockName::new(&name).unwrap();
    let holds = tokio::spawn(hold(locks.clone(), name.clone()));
    until("the lock to be held", || holder(&name).is_some()).await;
    let waits = [(); 5].map(|()| tokio::spawn(pass(locks.clone(), name.clone())));
    until("all of them to wait", || locks.waiting(&lock_name) == 5).await;
    assert_eq!(locks.pool().size(), 1);
    holds.abort();
    for waits in waits {
        waits.await.unwrap();
    }
    assert_free_soon(&name);
}

async fn leaves_the_line<P: ConnectionPool>(pool: P) {
    let (name, locks) = (fresh("leaves"), NamedLockPool::new(pool));
    let holds = tokio::spawn(hold(locks.clone(), name.clone()));
    until("the lock to be held", || holder(&name).is_some()).await;
    let [leaves, stays] = [(); 2].map(|()| tokio::spawn(pass(locks.clone(), name.clone())));
    until("both to wait", || locks.total_waiting() == 2).await;
    leaves.abort();
    until("one to be left", || locks.total_waiting() == 1).await;
    holds.abort();
    stays.await.unwrap();
    assert_free_soon(&name);
}

async fn is_followed<P: ConnectionPool>(pool: P) {
    let (name, locks) = (fresh("followed"), NamedLockPool::new(pool));
    for _ in 0..5 {
        let holds = tokio::spawn(hold(locks.clone(), name.clone()));
        until("the lock to be held", || holder(&name).is_some()).await;
        let next = tokio::spawn(pass(locks.clone(), name.clone()));
        until("the next one to wait", || locks.total_waiting() == 1).await;
        holds.abort();
        next.await.unwrap();
    }
}

async fn is_killed<P: ConnectionPool>(pool: P) {
    let (name, locks) = (fresh("killed"), NamedLockPool::new(pool));
    let sleeps = tokio::spawn({
        let (name, locks) = (name.clone(), locks.clone());
        async move {
            let section = locks.with_named_lock(&*name, SOON, async |conn| -> QueryResult<usize> {
                diesel_async::RunQueryDsl::execute(sql_query("SELECT SLEEP(600)"), conn).await
            });
            section.await
        }
    });
    until("it to sleep", || holder(&name).is_some_and(|id| is_in_state(id, "User sleep"))).await;
    sleeps.abort();
    // A test waits for far less than the statement would take.
    until("the lock to be free", || holder(&name).is_none()).await;
    pass(locks, name).await;
}

async fn strands_nobody<P: ConnectionPool>(pool: P) {
    let (name, (locks, _)) = (fresh("called"), watched(pool));
    let mut tasks = JoinSet::new();
    for index in 0..300_u64 {
        let (name, locks) = (name.clone(), locks.clone());
        tasks.spawn(async move {
            let patience = Duration::from_micros(index % 7 * 300);
            let stays = index % 3 == 0;
            let passes = pass(locks, name);
            if stays {
                passes.await;
            } else {
                let _ = tokio::time::timeout(patience, passes).await;
            }
        });
    }
    tasks.join_all().await;
    assert_eq!(locks.total_waiting(), 0);
    assert_free_soon(&name);
    pass(locks, name).await;
}

async fn times_out<P: ConnectionPool>(pool: P) {
    let (name, (locks, seen)) = (fresh("timeout"), watched(pool));
    let (held, holding) = oneshot::channel();
    let holds = tokio::spawn({
        let (locks, name) = (locks.clone(), name.clone());
        async move {
            let section = locks.with_named_lock(&*name, SOON, async |conn| {
                held.send(id(conn).await).unwrap();
                tokio::time::sleep(LONG).await;
                Ok::<_, NamedLockError>(())
            });
            section.await.unwrap();
        }
    });
    let session = holding.await.unwrap();
    let timeout = Duration::from_millis(50);
    let late = locks.with_named_lock(&*name, timeout, async |_| Ok::<_, NamedLockError>(())).await;
    match late {
        Err(NamedLockError::Timeout { waited, in_queue, holder: Some(found), .. }) => {
            assert!(waited >= timeout && in_queue >= timeout);
            assert_eq!(found.connection_id, session, "known without a connection: the pool has no other one");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(seen.timed_out.load(Ordering::Relaxed), 1);
    holds.abort();
}

async fn tries<P: ConnectionPool>(pool: P) {
    let (name, locks) = (fresh("tries"), NamedLockPool::new(pool));
    let elsewhere = hold_elsewhere(&name);
    let tried = locks.try_with_named_lock(&*name, async |_| Ok::<_, NamedLockError>(())).await;
    assert_eq!(tried.unwrap(), None);
    drop(elsewhere);
    assert_free_soon(&name);
    let tried = locks.try_with_named_lock(&*name, async |_| Ok::<_, NamedLockError>(7)).await;
    assert_eq!(tried.unwrap(), Some(7));
}

async fn runs_all<P: ConnectionPool>(pool: P) {
    let (names, locks) = ([fresh("b"), fresh("a")], NamedLockPool::new(pool));
    let all = NamedLock::all_of(names.clone()).unwrap();
    let both = locks.run(&all, async |conn| {
        let id = id(conn).await;
        Ok::<_, NamedLockError>(names.iter().all(|name| holder(name) == Some(id)))
    });
    assert!(both.await.unwrap());
    let rolled_back: QueryResult<()> = locks.run_transaction(&all, async |_| Err(Error::RollbackTransaction)).await;
    assert_eq!(rolled_back, Err(Error::RollbackTransaction));
    let section = locks.section(&all, async |conn| number(conn, "SELECT 4 AS number").await).await.unwrap();
    assert!(section.value == 4 && section.error.is_none(), "{section:?}");
    let done: QueryResult<i64> = locks
        .with_named_lock_transaction(&*names[0], SOON, async |conn| Ok(number(conn, "SELECT 5 AS number").await))
        .await;
    assert_eq!(done, Ok(5));
    names.iter().for_each(|name| assert_free(name));
}

async fn begins_and_panics<P: ConnectionPool>(pool: P) {
    let (name, table, locks) = (fresh("raw_panic"), fresh("raw_panic"), NamedLockPool::new(pool));
    connect().batch_execute(&format!("CREATE TABLE {table} (a INT) ENGINE = InnoDB")).unwrap();
    let panics = tokio::spawn({
        let (name, locks, insert) = (name.clone(), locks.clone(), format!("BEGIN; INSERT INTO {table} VALUES (1)"));
        async move {
            let work = async |conn: &mut P::Connection| -> QueryResult<()> {
                conn.batch_execute(&insert).await?;
                panic!("of the work")
            };
            locks.with_named_lock(&*name, SOON, work).await
        }
    });
    assert!(panics.await.unwrap_err().is_panic());
    assert_free(&name);
    let next = async |conn: &mut P::Connection| conn.batch_execute("BEGIN; COMMIT").await;
    locks.with_named_lock(&*name, SOON, next).await.unwrap();
    assert_eq!(testkit::world::number(&mut connect(), &format!("SELECT COUNT(*) AS number FROM {table}")), Some(0));
}

async fn survives_a_panic<P: ConnectionPool>(pool: P) {
    let (name, locks) = (fresh("panic"), NamedLockPool::new(pool));
    let panics = tokio::spawn({
        let (name, locks) = (name.clone(), locks.clone());
        async move { locks.with_named_lock(&*name, SOON, async |_| -> QueryResult<()> { panic!("of the work") }).await }
    });
    assert!(panics.await.unwrap_err().is_panic());
    assert_free(&name);
    pass(locks, name).await;
}

async fn guards_hand_on<P: ConnectionPool>(pool: P) {
    let (name, (locks, seen)) = (fresh("guard"), watched(pool));
    let lock = NamedLock::new(&*name).unwrap();
    let mut guard = locks.acquire(&lock).await.unwrap();
    let session = guard.connection_id();
    assert!(guard.still_holds().await.unwrap());
    assert_eq!(number(&mut *guard, "SELECT 6 AS number").await, 6);
    let next = tokio::spawn({
        let (locks, lock) = (locks.clone(), lock.clone());
        async move { locks.acquire(&lock).await.unwrap() }
    });
    until("the next one to wait", || locks.total_waiting() == 1).await;
    guard.release().await.unwrap();
    let next = next.await.unwrap();
    assert_eq!(next.connection_id(), session);
    assert_eq!(seen.handed_off.load(Ordering::Relaxed), 1);
    drop(next);
    assert_free_soon(&name);
    pass(locks, name).await;
}

async fn is_exhausted<P: ConnectionPool>(pool: P) {
    let (name, locks) = (fresh("exhausted"), NamedLockPool::new(pool));
    let taken = locks.pool().get().await.unwrap();
    let refused = locks.with_named_lock(&*name, Duration::from_millis(50), async |_| Ok::<_, NamedLockError>(())).await;
    assert!(matches!(refused, Err(NamedLockError::NoConnection { .. })), "{refused:?}");
    drop(taken);
    pass(locks, name).await;
}
