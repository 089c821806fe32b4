//! A section of a `NamedLockPool` that is dropped at each of its awaits, its check-out among them: on a pool of one, the next checkout
//! meets what is left.

use std::{future::poll_fn, pin::pin, task::Poll, time::Instant};

use diesel_named_lock::{
    NamedLockError,
    nonblocking::{
        NamedLock, NamedLockConnection,
        pool::{ConnectionPool, NamedLockPool},
    },
};
use testkit::world::{SOON, assert_free_soon, fresh};

use crate::world::{begin, number};

/// Polls a future, and drops it as it waits for the so-manieth time, from 0. `None` if it was dropped.
async fn drop_at<T>(wait: u32, future: impl Future<Output = T>) -> Option<T> {
    let (mut future, mut waits) = (pin!(future), 0);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending if waits == wait => Poll::Ready(None),
        Poll::Pending => {
            waits += 1;
            Poll::Pending
        }
    })
    .await
}

type Outcome = Result<(), NamedLockError>;

async fn work<C: NamedLockConnection>(conn: &mut C) -> Outcome {
    number(conn, "SELECT 1 AS number").await;
    // To be rolled back.
    Ok(begin(conn).await?)
}

/// Lets `section` be dropped at one await after the other.
async fn drop_at_each<P: ConnectionPool>(pool: &P, name: &str, section: impl AsyncFn(u32) -> Option<Outcome>) {
    const AWAITS: u32 = 12;
    /// An answer that is there already is not waited for, so that an await is not always the same one. On a busy machine, that is
    /// most of them.
    const ROUNDS: u32 = 4;

    let (mut dropped, start) = (0, Instant::now());
    for (count, wait) in (0..AWAITS).cycle().enumerate() {
        if count >= (AWAITS * ROUNDS) as usize && (dropped > AWAITS || start.elapsed() > SOON) {
            break;
        }
        // The second one asks what the first has prepared.
        for answer in 0..2 {
            let mut conn = pool.get().await.unwrap();
            assert_eq!(number(&mut conn, &format!("SELECT {answer} AS number")).await, answer, "dropped at {wait}");
        }
        dropped += u32::from(section(wait).await.is_none());
        assert_free_soon(name);
    }
    assert!(dropped > AWAITS, "dropped {dropped} times");
}

/// The check-out is part of the section.
async fn in_turn<P: ConnectionPool>(pool: P) {
    let (name, locks) = (fresh("each_in_turn"), NamedLockPool::new(pool));
    let section = async |wait| drop_at(wait, locks.with_named_lock(&*name, SOON, async |conn| work(conn).await)).await;
    drop_at_each(locks.pool(), &name, section).await;
}

async fn by_a_guard_in_turn<P: ConnectionPool>(pool: P) {
    let (name, locks) = (fresh("each_guard_in_turn"), NamedLockPool::new(pool));
    let lock = NamedLock::new(&*name).unwrap();
    let section = async |wait| {
        let section = async {
            let mut guard = locks.acquire(&lock).await?;
            work(&mut *guard).await?;
            guard.release().await
        };
        drop_at(wait, section).await
    };
    drop_at_each(locks.pool(), &name, section).await;
}

crate::world::on_either_pool! {
    a_section_is_dropped_at_each_await => in_turn(1);
    a_guard_is_dropped_at_each_await => by_a_guard_in_turn(1);
}
