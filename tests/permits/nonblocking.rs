//! The same on async connections.

use std::{
    future::pending,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use diesel_async::{
    AsyncConnection, AsyncMysqlConnection,
    pooled_connection::{AsyncDieselConnectionManager, bb8},
};
use diesel_named_lock::nonblocking::{
    NamedLock,
    permits::{Permits, SharedLock},
    pool::NamedLockPool,
};
use tokio::{
    runtime::{Builder, Runtime},
    task::JoinSet,
    time::{sleep, timeout},
};

use testkit::world::*;

use crate::stage::*;

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

async fn connect() -> AsyncMysqlConnection {
    AsyncMysqlConnection::establish(server().tcp_url()).await.expect("an async connection")
}

fn permit(name: &str, count: u32) -> NamedLock {
    Permits::new(name, count).unwrap().permit().timeout(LONG)
}

#[test]
fn as_many_tasks_as_there_are_permits_run_at_once_and_no_more() {
    let name = fresh("tasks");
    runtime().block_on(async {
        static RUNNING: AtomicU32 = AtomicU32::new(0);
        static MOST: AtomicU32 = AtomicU32::new(0);
        let pool = bb8::Pool::<AsyncMysqlConnection>::builder().max_size(6).connection_timeout(SOON);
        let locks =
            NamedLockPool::new(pool.build(AsyncDieselConnectionManager::new(server().tcp_url())).await.unwrap());
        let mut tasks = JoinSet::new();
        for index in 0..12 {
            let (locks, permit) = (locks.clone(), permit(&name, 3));
            tasks.spawn(async move {
                let work = async |_: &mut _| {
                    MOST.fetch_max(RUNNING.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    sleep(Duration::from_millis(3)).await;
                    RUNNING.fetch_sub(1, Ordering::SeqCst);
                    Outcome::Ok(())
                };
                for _ in 0..6 {
                    if index < 6 {
                        locks.run(&permit, work).await.unwrap();
                    } else {
                        let mut conn = connect().await;
                        permit
                            .run(&mut conn, async move |_| {
                                MOST.fetch_max(RUNNING.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                                sleep(Duration::from_millis(3)).await;
                                RUNNING.fetch_sub(1, Ordering::SeqCst);
                                Outcome::Ok(())
                            })
                            .await
                            .unwrap();
                    }
                }
            });
        }
        while let Some(task) = tasks.join_next().await {
            task.unwrap();
        }
        assert_eq!(MOST.load(Ordering::SeqCst), 3);
    });
    assert_all_free(&name, 3);
}

#[test]
fn shared_and_exclusive_exclude_each_other() {
    let name = fresh("async_shared");
    runtime().block_on(async {
        let lock = SharedLock::new(&*name).unwrap();
        let (one, two) = (lock.shared().acquire(connect().await).await, lock.shared().acquire(connect().await).await);
        let (one, two) = (one.unwrap(), two.unwrap());
        let mut conn = connect().await;
        assert_eq!(lock.exclusive().try_run(&mut conn, async |_| Outcome::Ok(())).await.unwrap(), None);
        one.release().await.unwrap();
        two.release().await.unwrap();
        assert_eq!(lock.exclusive().try_run(&mut conn, async |_| Outcome::Ok(())).await.unwrap(), Some(()));
    });
}

/// In line for the turnstile, as the first in line, and in the closure.
#[test]
fn a_section_that_is_dropped_leaves_its_permit_and_its_place() {
    let name = fresh("dropped");
    let holding = hold(permits(&name, 1).permit());
    runtime().block_on(async {
        let (mut first, mut second) = (connect().await, connect().await);
        {
            let permit = permit(&name, 1);
            let mut head = Box::pin(permit.run(&mut first, async |_| Outcome::Ok(())));
            let is_head = async {
                while holder(&turnstile(&name)).is_none() {
                    sleep(Duration::from_millis(1)).await;
                }
            };
            tokio::select! {
                _ = &mut head => panic!("the permit is held"),
                () = is_head => {}
            }
            let mut behind = Box::pin(permit.run(&mut second, async |_| Outcome::Ok(())));
            let ended = timeout(Duration::from_millis(50), &mut behind).await;
            assert!(ended.is_err());
        }
        wait_until("the turnstile to be free", || holder(&turnstile(&name)).is_none());
        tokio::task::spawn_blocking(move || holding.end().unwrap()).await.unwrap();
        let mut third = connect().await;
        {
            let permit = permit(&name, 1);
            let mut section = Box::pin(permit.run(&mut third, async |_| {
                pending::<()>().await;
                Outcome::Ok(())
            }));
            assert!(timeout(Duration::from_millis(50), &mut section).await.is_err());
        }
    });
    assert_free_soon(&slot(&name, 1));
    assert_all_free(&name, 1);
}
