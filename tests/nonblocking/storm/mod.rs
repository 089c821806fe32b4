//! Sections that are dropped at random moments, and at each of their awaits in order.

pub mod cut;
mod lock;
mod section;
pub mod source;
mod witness;
pub mod work;

use std::{
    array, env,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use testkit::world::{SOON, assert_free_soon};
use tokio::{
    runtime::Builder,
    task::spawn_blocking,
    time::{sleep, timeout},
};

use self::{
    cut::Cut,
    lock::Lock,
    section::{Ended, Section, assert_unharmed, random_timeout},
    source::{Plain, Source},
    witness::{Dropped, Witness},
    work::{Work, assert_answers},
};
use crate::world::{bb8_of, deadpool_of, id};

const TASKS: usize = 6;
/// Fewer than there are tasks.
const CONNECTIONS: usize = 4;

/// Of each kind, in both runtimes together. `STORM_DROPS=20000` makes a long run.
fn drops_wanted() -> usize {
    env::var("STORM_DROPS").map_or(1_000, |drops| drops.parse().expect("a number of drops"))
}

struct Storm<S> {
    source: S,
    is_owned: bool,
    shared: [Lock; 2],
    dropped: Arc<Dropped>,
    /// By the moment at which they were.
    drops: [AtomicUsize; 3],
}

impl<S: Source> Storm<S> {
    fn drops(&self) -> [usize; 3] {
        self.drops.each_ref().map(|count| count.load(SeqCst))
    }

    /// A checkout that answers as it should, and its session.
    async fn check_out(&self) -> (S::Conn, i64) {
        let mut conn = timeout(SOON, self.source.get()).await.expect("a connection: a slot of the pool is lost");
        assert_answers(&mut conn).await;
        let session = id(&mut conn).await as i64;
        assert!(!self.dropped.contains(session), "the connection of a dropped section was handed out again");
        (conn, session)
    }

    async fn take_part(self: Arc<Self>, own: Arc<Lock>) {
        while self.drops().iter().sum::<usize>() < drops_wanted() / 2 {
            let (mut conn, session) = self.check_out().await;
            for _ in 0..fastrand::usize(1..10) {
                let lock = self.shared.get(fastrand::usize(..4)).unwrap_or(&own);
                let work = Work::ALL[fastrand::usize(..Work::ALL.len())];
                let section = Section { lock, timeout: random_timeout(), work, is_owned: self.is_owned };
                match section.run(conn, Cut::random(30)).await {
                    Ended::ByItself(back, outcome) => {
                        assert_unharmed(&outcome);
                        conn = back;
                    }
                    Ended::Dropped(left, moment) => {
                        self.dropped.note(session);
                        self.drops[moment as usize].fetch_add(1, SeqCst);
                        if left.is_some() {
                            // The caller may have something else to do first.
                            sleep(Duration::from_millis(fastrand::u64(..4))).await;
                        }
                        break;
                    }
                }
            }
        }
    }

    async fn rage(self: Arc<Self>) -> Duration {
        let mut own = Vec::new();
        for _ in 0..TASKS {
            own.push(Arc::new(Lock::new().await));
        }
        let locks = own.iter().map(|lock| &**lock).chain(&self.shared);
        let names = locks.flat_map(|lock| [lock.name.clone(), lock.inner.clone()]).collect();
        let witness = Witness::start(names, self.dropped.clone());
        let tasks: Vec<_> = own.into_iter().map(|own| tokio::spawn(self.clone().take_part(own))).collect();
        for task in tasks {
            task.await.unwrap();
        }
        let mut all = Vec::new();
        for _ in 0..CONNECTIONS {
            all.push(self.check_out().await);
        }
        spawn_blocking(|| witness.finish()).await.unwrap()
    }
}

fn storm<S: Source>(is_owned: bool, open: impl AsyncFn() -> S) {
    for mut runtime in [Builder::new_current_thread(), Builder::new_multi_thread()] {
        let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let (source, shared) = (open().await, [Lock::new().await, Lock::new().await]);
            let drops = array::from_fn(|_| AtomicUsize::new(0));
            let storm = Arc::new(Storm { source, is_owned, shared, dropped: Arc::default(), drops });
            let longest = storm.clone().rage().await;
            let drops = storm.drops();
            let kind = thread::current().name().unwrap_or_default().to_owned();
            println!("{kind}: dropped in acquire, closure, release {drops:?}, every lock free after {longest:?}");
            assert!(drops.iter().all(|count| *count > drops_wanted() / 50), "{drops:?}");
        });
    }
}

#[test]
fn storm_on_plain_connections_that_are_borrowed() {
    storm(false, async || Plain);
}

#[test]
fn storm_on_plain_connections_that_are_owned() {
    storm(true, async || Plain);
}

#[test]
fn storm_on_bb8_borrowed() {
    storm(false, async || bb8_of(CONNECTIONS as u32).await);
}

#[test]
fn storm_on_bb8_owned() {
    storm(true, async || bb8_of(CONNECTIONS as u32).await);
}

#[test]
fn storm_on_deadpool_borrowed() {
    storm(false, async || deadpool_of(CONNECTIONS));
}

#[test]
fn storm_on_deadpool_owned() {
    storm(true, async || deadpool_of(CONNECTIONS));
}

/// A section is dropped at its first await, then another one at its second, and so on, until one ends by itself.
async fn drop_at_every_await<S: Source>(is_owned: bool, source: S) {
    let lock = Arc::new(Lock::new().await);
    let mut counts = [0; 3];
    for work in Work::ALL {
        let section = Section { lock: &lock, timeout: SOON, work, is_owned };
        for cut in [Cut::Polls, Cut::Unread] {
            for polls in 1.. {
                let mut conn = timeout(SOON, source.get()).await.expect("a connection: a slot of the pool is lost");
                assert_answers(&mut conn).await;
                let left = match section.run(conn, cut(polls)).await {
                    Ended::Dropped(left, moment) => {
                        counts[moment as usize] += 1;
                        // The session ends although the caller keeps the connection.
                        left
                    }
                    Ended::ByItself(_, outcome) => {
                        assert!(outcome.is_ok(), "{outcome:?}");
                        break;
                    }
                };
                let lock = lock.clone();
                spawn_blocking(move || [&lock.name, &lock.inner].map(|name| assert_free_soon(name))).await.unwrap();
                drop(left);
            }
        }
    }
    assert!(counts.iter().all(|count| *count >= 2 * Work::ALL.len()), "{counts:?}");
}

#[tokio::test]
async fn at_every_await_on_plain_connections() {
    drop_at_every_await(false, Plain).await;
    drop_at_every_await(true, Plain).await;
}

#[tokio::test]
async fn at_every_await_on_bb8() {
    drop_at_every_await(false, bb8_of(1).await).await;
    drop_at_every_await(true, bb8_of(1).await).await;
}

#[tokio::test]
async fn at_every_await_on_deadpool() {
    drop_at_every_await(false, deadpool_of(1)).await;
    drop_at_every_await(true, deadpool_of(1)).await;
}
