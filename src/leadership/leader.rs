//! The leadership, for as long as it lasts.

use std::{
    fmt,
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use log::warn;

use super::step_down::{Requests, StepDown};
#[cfg(feature = "fence")]
use crate::fence::FencingToken;
use crate::{
    blocking::{guard::NamedLockGuard, watched::WatchedGuard},
    connection_id::ConnectionId,
    driver::status::NamedLockConnection,
    error::NamedLockError,
    log_target::TARGET,
    name::LockName,
};

/// A leadership, until it is lost, [resigned](Self::resign), or dropped. All threads may ask it.
///
/// Returned by [`LeaderElection::campaign`](super::LeaderElection::campaign). All questions are answered from memory.
///
/// # When it is dropped
///
/// It is resigned. If the lock was lost before, that is logged at `warn`, with how long the leader has gone on since.
#[must_use = "it is resigned when it is dropped"]
pub struct Leadership<C: NamedLockConnection> {
    /// Until it is resigned.
    watched: Option<WatchedGuard<NamedLockGuard<C>>>,
    requests: Arc<Requests>,
    elected: Instant,
    #[cfg(feature = "fence")]
    term: Option<FencingToken>,
}

impl<C: NamedLockConnection> Leadership<C> {
    pub(super) fn new(
        watched: WatchedGuard<NamedLockGuard<C>>,
        #[cfg(feature = "fence")] term: Option<FencingToken>,
    ) -> Self {
        let requests = Arc::<Requests>::default();
        let wakes = requests.clone();
        watched.on_loss(move || {
            // Whoever is about to wait has the lock.
            drop(wakes.lock());
            wakes.changed.notify_all();
        });
        Self {
            watched: Some(watched),
            requests,
            elected: Instant::now(),
            #[cfg(feature = "fence")]
            term,
        }
    }

    /// Whether this is the leader: nobody has asked it to step down, and the lock is not known to be lost. Once `false`, it
    /// stays so.
    ///
    /// `true` is as old as the last ping at most. It is never `true` after the server has given the lock to another session because
    /// it has not heard of this one for the [idle limit](super::LeaderElection::idle_limit).
    #[must_use]
    pub fn is_leader(&self) -> bool {
        !*self.requests.lock() && !self.watched().is_lost()
    }

    /// Waits for at most `timeout` until this is no longer the leader. Returns whether it is not.
    pub fn stepped_down(&self, timeout: Duration) -> bool {
        let start = Instant::now();
        let mut requested = self.requests.lock();
        loop {
            let left = timeout.saturating_sub(start.elapsed());
            if *requested || self.watched().is_lost() || left.is_zero() {
                return *requested || self.watched().is_lost();
            }
            let left = left.min(self.watched().until_too_silent());
            requested = self.requests.changed.wait_timeout(requested, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// A handle by which any thread can ask this leader to step down.
    #[must_use]
    pub fn step_down(&self) -> StepDown {
        StepDown(self.requests.clone())
    }

    /// The number of this leadership, larger than those of all before it: a fencing token, which
    /// [`fence::check`](crate::fence::check) refuses once another leader was elected.
    ///
    /// `None` if the leader's database has no table for them: see [`fence`](crate::fence).
    #[cfg(feature = "fence")]
    #[must_use]
    pub fn term(&self) -> Option<FencingToken> {
        self.term
    }

    /// When this leader was elected.
    #[must_use]
    pub fn elected(&self) -> Instant {
        self.elected
    }

    /// How long ago the last ping that was answered was sent.
    #[must_use]
    pub fn silent_for(&self) -> Duration {
        self.watched().silent_for()
    }

    /// The lock's name.
    #[must_use]
    pub fn name(&self) -> &LockName {
        &self.watched().names()[0]
    }

    /// The leader's session.
    #[must_use]
    pub fn connection_id(&self) -> ConnectionId {
        self.watched().connection_id()
    }

    /// Releases the lock, confirmed by the server, which hands it to the candidate that has waited longest, within milliseconds.
    ///
    /// # Errors
    ///
    /// Returns [`NamedLockError::Lost`] if the lock was lost before.
    pub fn resign(mut self) -> Result<(), NamedLockError> {
        let Some(watched) = self.end() else { unreachable!("it is resigned once") };
        if !watched.is_lost() {
            return Ok(watched.into_guard().release().map(drop)?);
        }
        // What is dropped waits for no network.
        let (name, connection_id) = (watched.names()[0].clone(), watched.connection_id());
        drop(watched);
        Err(NamedLockError::Lost { name, connection_id, source: None })
    }

    fn end(&mut self) -> Option<WatchedGuard<NamedLockGuard<C>>> {
        let watched = self.watched.take()?;
        if let Some(lost_for) = watched.lost_for() {
            let (name, connection) = (&watched.names()[0], watched.connection_id().get());
            warn!(
                target: TARGET, lost_for:?, connection;
                "the leader by named lock `{name}` went on for {lost_for:.3?} after the lock was lost"
            );
        }
        Some(watched)
    }

    fn watched(&self) -> &WatchedGuard<NamedLockGuard<C>> {
        self.watched.as_ref().expect("a leadership has its lock until it is resigned")
    }
}

impl<C: NamedLockConnection> Drop for Leadership<C> {
    fn drop(&mut self) {
        drop(self.end());
    }
}

impl<C: NamedLockConnection> fmt::Debug for Leadership<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Leadership");
        shown.field("watched", &self.watched);
        #[cfg(feature = "fence")]
        shown.field("term", &self.term);
        shown.finish_non_exhaustive()
    }
}
