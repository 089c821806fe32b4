//! What a section does if nobody drops it.

use std::{
    future::{Ready, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    task::Poll,
    time::{Duration, Instant},
};

use diesel::{QueryResult, result::Error, sql_query};
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use diesel_named_lock::{
    NamedLockError,
    nonblocking::{NamedLock, NamedLockConnection, NamedLockExt},
};
use testkit::world::{SOON, assert_free, fresh, hold_elsewhere, holder, kill};

use crate::world::{bb8_of, begin, connect, deadpool_of, id, number};

#[tokio::test]
async fn the_closure_runs_on_the_session_that_holds_the_lock() {
    let (name, mut conn) = (fresh("held"), connect().await);
    let (inside, seen) = conn
        .with_named_lock(&*name, SOON, async |conn| Ok::<_, NamedLockError>((id(conn).await, holder(&name))))
        .await
        .unwrap();
    assert_eq!(seen, Some(inside));
    assert_free(&name);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sections_run_in_spawned_tasks_on_connections_of_either_pool() {
    let name = fresh("spawned");
    let (bb8, deadpool) = (bb8_of(1).await, deadpool_of(1));
    let of_bb8 = tokio::spawn({
        let name = name.clone();
        async move {
            let mut conn = bb8.get_owned().await.unwrap();
            conn.with_named_lock(&*name, SOON, async |conn| Ok::<_, NamedLockError>(id(conn).await)).await
        }
    });
    let of_deadpool = tokio::spawn({
        let name = name.clone();
        async move {
            let mut conn = deadpool.get().await.unwrap();
            conn.with_named_lock(&*name, SOON, async |conn| Ok::<_, NamedLockError>(id(conn).await)).await
        }
    });
    assert_ne!(of_bb8.await.unwrap().unwrap(), of_deadpool.await.unwrap().unwrap());
    assert_free(&name);
}

async fn in_generic_code<C: NamedLockConnection>(conn: &mut C, name: &str) -> QueryResult<i64> {
    conn.with_named_lock(name, SOON, async |conn| {
        conn.transaction(async |conn| Ok(number(conn, "SELECT 7 AS number").await)).await
    })
    .await
}

#[tokio::test]
async fn a_generic_function_borrows_what_it_needs() {
    let name = fresh("generic");
    assert_eq!(in_generic_code(&mut connect().await, &name).await, Ok(7));
    assert_free(&name);
}

#[tokio::test]
async fn the_error_of_the_closure_comes_back_and_the_lock_is_free() {
    let (name, mut conn) = (fresh("failed"), connect().await);
    let outcome = conn.with_named_lock(&*name, SOON, async |_| Err::<(), _>(Error::NotFound)).await;
    assert_eq!(outcome, Err(Error::NotFound));
    assert_free(&name);
}

#[tokio::test]
async fn a_panic_of_the_closure_releases_the_lock_and_is_resumed() {
    let name = fresh("panicked");
    let task = tokio::spawn({
        let name = name.clone();
        async move {
            let mut conn = connect().await;
            let section =
                conn.with_named_lock(&*name, SOON, async |_| -> Result<(), NamedLockError> { panic!("of the work") });
            section.await
        }
    });
    let panic = task.await.unwrap_err().into_panic();
    assert_eq!(panic.downcast_ref(), Some(&"of the work"));
    assert_free(&name);
}

#[tokio::test]
async fn a_lock_that_is_held_elsewhere_times_out_and_its_holder_is_named() {
    let (name, mut conn) = (fresh("busy"), connect().await);
    let elsewhere = hold_elsewhere(&name);
    for timeout in [Duration::ZERO, Duration::from_millis(300), Duration::from_secs(1)] {
        let start = Instant::now();
        match conn.with_named_lock(&*name, timeout, async |_| Ok::<_, NamedLockError>(())).await {
            Err(NamedLockError::Timeout { holder: Some(holder), .. }) => {
                assert_eq!(holder.connection_id.get(), elsewhere.id);
            }
            other => panic!("{other:?}"),
        }
        assert!(start.elapsed() >= timeout);
    }
    let tried = conn.try_with_named_lock(&*name, async |_| Ok::<_, NamedLockError>(())).await;
    assert_eq!(tried.unwrap(), None);
}

#[tokio::test]
async fn a_transaction_is_committed_before_the_release_and_rolled_back_for_an_error() {
    let (name, table, mut conn) = (fresh("transaction"), fresh("rows"), connect().await);
    conn.batch_execute(&format!("CREATE TABLE test.{table} (n INT)")).await.unwrap();
    let count = format!("SELECT COUNT(*) AS number FROM test.{table}");
    let insert = format!("INSERT INTO test.{table} VALUES (1)");
    let outcome = conn
        .with_named_lock_transaction(&*name, SOON, async |conn| {
            sql_query(&insert).execute(conn).await?;
            Err::<(), _>(Error::NotFound)
        })
        .await;
    assert_eq!(outcome, Err(Error::NotFound));
    assert_eq!(number(&mut conn, &count).await, 0);
    let outcome =
        conn.with_named_lock_transaction(&*name, SOON, async |conn| sql_query(&insert).execute(conn).await).await;
    assert_eq!(outcome, Ok(1));
    assert_eq!(number(&mut connect().await, &count).await, 1);
    conn.batch_execute(&format!("DROP TABLE test.{table}")).await.unwrap();
}

#[tokio::test]
async fn a_transaction_left_open_is_rolled_back_and_told() {
    let (name, mut conn) = (fresh("left_open"), connect().await);
    let lock = NamedLock::new(&*name).unwrap();
    let outcome = lock.run(&mut conn, async |conn| Ok(begin(conn).await?)).await;
    assert!(matches!(outcome, Err(NamedLockError::TransactionLeftOpen { depth: Some(1), .. })), "{outcome:?}");
    assert_free(&name);
    conn.with_named_lock(&*name, SOON, async |_| Ok::<_, NamedLockError>(())).await.unwrap();
}

#[tokio::test]
async fn a_session_that_is_killed_inside_is_lost() {
    let (name, mut conn) = (fresh("killed"), connect().await);
    let outcome = conn
        .with_named_lock(&*name, SOON, async |conn| {
            kill(id(conn).await);
            Ok::<_, NamedLockError>(())
        })
        .await;
    assert!(matches!(outcome, Err(NamedLockError::Lost { .. })), "{outcome:?}");
    assert_free(&name);
}

#[tokio::test]
async fn a_section_over_the_same_lock_is_refused_unless_it_is_reentrant() {
    let (name, mut conn) = (fresh("nested"), connect().await);
    let lock = NamedLock::new(&*name).unwrap();
    lock.run(&mut conn, async |conn| {
        let refused = lock.run(conn, async |_| Ok::<_, NamedLockError>(())).await;
        assert!(matches!(refused, Err(NamedLockError::AlreadyHeld { .. })), "{refused:?}");
        lock.clone().reentrant().run(conn, async |_| Ok::<_, NamedLockError>(())).await?;
        assert!(conn.still_holds(&*name).await?);
        Ok::<_, NamedLockError>(())
    })
    .await
    .unwrap();
    assert_free(&name);
}

#[tokio::test]
async fn several_locks_are_held_together() {
    let (names, mut conn) = ([fresh("b"), fresh("a")], connect().await);
    let lock = NamedLock::all_of(names.clone()).unwrap();
    lock.run(&mut conn, async |conn| {
        let id = id(conn).await;
        assert_eq!(names.each_ref().map(|name| holder(name)), [Some(id); 2]);
        Ok::<_, NamedLockError>(())
    })
    .await
    .unwrap();
    names.iter().for_each(|name| assert_free(name));
}

#[tokio::test]
async fn a_section_keeps_its_value_although_the_lock_was_released_by_hand() {
    let (name, mut conn) = (fresh("by_hand"), connect().await);
    let section = NamedLock::new(&*name)
        .unwrap()
        .section(&mut conn, async |conn| number(conn, &format!("SELECT RELEASE_LOCK('{name}') AS number")).await);
    let section = section.await.unwrap();
    assert_eq!(section.value, 1);
    assert!(matches!(section.error, Some(NamedLockError::Lost { .. })), "{:?}", section.error);
}

#[tokio::test]
async fn an_idle_session_is_kept_alive_while_the_closure_computes() {
    let (name, mut conn) = (fresh("idle"), connect().await);
    let lock = NamedLock::new(&*name).unwrap().idle_limit(Duration::from_secs(3));
    // With pings that may be late on a busy machine.
    let computes = Duration::from_secs(5);
    let kept = lock.run(&mut conn, async |conn| {
        let pings = Duration::from_millis(200);
        Ok::<_, NamedLockError>(
            conn.keep_alive_while(pings, async |watch| {
                tokio::time::sleep(computes).await;
                watch.is_lost()
            })
            .await,
        )
    });
    assert!(!kept.await.unwrap());
    let lost = lock.run(&mut conn, async |_| {
        tokio::time::sleep(computes).await;
        Ok::<_, NamedLockError>(())
    });
    assert!(matches!(lost.await, Err(NamedLockError::Lost { .. })));
}

#[tokio::test]
async fn an_invalid_name_is_refused_and_the_connection_serves() {
    let mut conn = connect().await;
    let outcome = conn.with_named_lock("", SOON, async |_| Ok::<_, NamedLockError>(())).await;
    assert!(matches!(outcome, Err(NamedLockError::InvalidName(_))), "{outcome:?}");
    assert_eq!(number(&mut conn, "SELECT 3 AS number").await, 3);
    let section = conn.with_named_lock(fresh("asked"), SOON, async |conn| {
        let asked = conn.still_holds("").await;
        assert!(matches!(asked, Err(NamedLockError::InvalidName(_))), "{asked:?}");
        Ok::<_, NamedLockError>(())
    });
    section.await.unwrap();
}

fn panics_before_its_future<C>(_: &mut C) -> Ready<QueryResult<()>> {
    panic!("before the future")
}

#[tokio::test]
async fn a_panic_of_the_call_of_the_closure_releases_the_lock_and_keeps_the_session() {
    let (name, mut conn) = (fresh("called"), connect().await);
    let before = id(&mut conn).await;
    {
        let mut section = pin!(conn.with_named_lock(&*name, SOON, panics_before_its_future));
        let panicked = poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| section.as_mut().poll(cx))) {
            Ok(poll) => poll.map(|_| false),
            Err(_) => Poll::Ready(true),
        });
        assert!(panicked.await);
    }
    assert_free(&name);
    let after = conn.with_named_lock(&*name, SOON, async |conn| Ok::<_, NamedLockError>(id(conn).await)).await;
    assert_eq!(after.unwrap(), before);
}
