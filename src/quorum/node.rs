//! A node: a pool to one server, and what is known of that server.

use std::{
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak},
    thread,
    time::{Duration, Instant},
};

use diesel::r2d2::{ManageConnection, Pool, PooledConnection};
use log::warn;

use super::error::{NodeReport, NodeState};
use crate::{
    driver::{
        blocking::{Blocking, ready},
        status::NamedLockConnection,
    },
    log_target::TARGET,
    section::ask::ping,
    statement::whereabouts::Place,
};

/// If so many threads still wait for a server although nobody waits for them, no section asks it.
const MOST_STRAYS: usize = 32;
const MOST_PROBES: usize = 3;
/// A probe that has no answer after this many times the time for an answer is followed by another one, on another connection.
const NEXT_PROBE: u32 = 10;

pub(super) struct Node<M: ManageConnection> {
    pub(super) name: String,
    pub(super) pool: Pool<M>,
    pub(super) answer_within: Duration,
    /// Where the pool has led from the first connection on.
    place: OnceLock<Place>,
    health: Mutex<Health>,
}

#[derive(Default)]
struct Health {
    /// Why sections don't ask it, until a probe finds that it answers.
    down: Option<NodeState>,
    /// Threads whose answers nobody awaits any more.
    strays: usize,
    /// Threads that look whether it is there.
    probes: usize,
    /// When the last of them began, if it is still at it.
    probed: Option<Instant>,
}

impl<M> Node<M>
where
    M: ManageConnection,
    PooledConnection<M>: NamedLockConnection,
{
    pub(super) fn new(name: String, pool: Pool<M>, answer_within: Duration) -> Self {
        Self { name, pool, answer_within, place: OnceLock::new(), health: Mutex::default() }
    }

    /// Returns why no section may ask it, if none may. Then a thread looks whether it is back, and another one if that hangs.
    pub(super) fn check_up(self: &Arc<Self>) -> Result<(), NodeState> {
        let health = self.lock();
        let (down, strays) = (health.down.clone(), health.strays);
        drop(health);
        match down {
            Some(why) => {
                self.probe();
                Err(why)
            }
            None if strays < MOST_STRAYS => Ok(()),
            None => Err(NodeState::Failed(format!("{strays} threads still wait for it"))),
        }
    }

    /// Returns where the pool has led before, if that is elsewhere.
    pub(super) fn moved_from(&self, place: &Place) -> Option<&Place> {
        Some(self.place.get_or_init(|| place.clone())).filter(|known| *known != place)
    }

    /// Whether the pool has no connection to give because all are in use. That says nothing about the server.
    pub(super) fn is_exhausted(&self) -> bool {
        let state = self.pool.state();
        state.idle_connections == 0 && state.connections >= self.pool.max_size()
    }

    /// Another thread waits for the server, and nobody for that thread.
    pub(super) fn add_stray(&self) {
        self.lock().strays += 1;
    }

    pub(super) fn end_stray(&self) {
        self.lock().strays -= 1;
    }

    /// It gave no answer. From now on, sections leave it out, and a thread looks whether it is back.
    pub(super) fn mark_down(self: &Arc<Self>, why: &NodeState) {
        if self.lock().down.replace(why.clone()).is_none() {
            let report = NodeReport { node: self.name.clone(), state: why.clone() };
            warn!(target: TARGET, node = self.name.as_str(); "{report}, and is left out until it answers");
        }
        self.probe();
    }

    /// Whether the server answers other connections, as far as is known, for a caller whose own connection waits for a lock. Asked again and
    /// again, at intervals of the time for an answer.
    pub(super) fn seems_alive(self: &Arc<Self>) -> bool {
        let probed = self.lock().probed;
        self.probe();
        probed.is_none_or(|since| since.elapsed() < self.answer_within) && self.lock().down.is_none()
    }

    /// Starts a thread that asks the server, unless there is one.
    fn probe(self: &Arc<Self>) {
        let mut health = self.lock();
        let is_probed = health.probed.is_some_and(|since| since.elapsed() < self.answer_within * NEXT_PROBE);
        if is_probed || health.probes >= MOST_PROBES {
            return;
        }
        let began = Instant::now();
        health.probed = Some(began);
        health.probes += 1;
        drop(health);
        let probe = Probe { node: Arc::downgrade(self), began };
        // If there is no thread for it, it is dropped.
        let _ = thread::Builder::new().name("named-lock-probe".into()).spawn(|| probe.until_up());
    }

    /// `None`: the pool has no connection to spare, so the server can't be asked.
    fn answers(&self) -> Option<bool> {
        match self.pool.get_timeout(self.answer_within) {
            Ok(mut conn) => Some(ready(ping::<Blocking, _>(&mut conn)).is_ok()),
            Err(_) if self.is_exhausted() => None,
            Err(_) => Some(false),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A thread that looks whether a node is there, until it is or the quorum is dropped.
struct Probe<M>
where
    M: ManageConnection,
    PooledConnection<M>: NamedLockConnection,
{
    node: Weak<Node<M>>,
    began: Instant,
}

impl<M> Probe<M>
where
    M: ManageConnection,
    PooledConnection<M>: NamedLockConnection,
{
    fn until_up(mut self) {
        while let Some(node) = self.node.upgrade() {
            let answers = node.answers();
            let mut health = node.lock();
            // If it took so long that another one has followed, that one knows better.
            if answers == Some(true) && health.probed == Some(self.began) {
                let was_down = health.down.take().is_some();
                drop(health);
                if was_down {
                    warn!(target: TARGET, node = node.name.as_str(); "node `{}` answers again", node.name);
                }
                return;
            }
            if health.probed != Some(self.began) || health.down.is_none() && answers.is_none() {
                return;
            }
            let is_news = health.down.is_none();
            health.down.get_or_insert(NodeState::Silent);
            self.began = Instant::now();
            health.probed = Some(self.began);
            drop(health);
            if is_news {
                warn!(target: TARGET, node = node.name.as_str(); "node `{}` does not answer, and is left out", node.name);
            }
            let pause = node.answer_within;
            drop(node);
            thread::sleep(pause);
        }
    }
}

impl<M> Drop for Probe<M>
where
    M: ManageConnection,
    PooledConnection<M>: NamedLockConnection,
{
    /// Also after a panic of a hook of the application.
    fn drop(&mut self) {
        if let Some(node) = self.node.upgrade() {
            let mut health = node.lock();
            health.probes -= 1;
            if health.probed == Some(self.began) {
                health.probed = None;
            }
        }
    }
}
