//! A leadership, for as long as it lasts.

use std::{
    fmt,
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use super::step_down::{Requests, StepDown, warn_of_late};
#[cfg(feature = "fence")]
use crate::fence::FencingToken;
use crate::{
    blocking::{guard::NamedLockGuard, watched::WatchedGuard},
    connection_id::ConnectionId,
    driver::status::NamedLockConnection,
    error::NamedLockError,
    name::LockName,
};

/// A leadership, until it is lost, [resigned](Self::resign), or dropped.
///
/// Returned by [`LeaderElection::campaign`](super::LeaderElection::campaign). Any thread can call its methods, which answer from memory.
///
/// # When it is dropped
///
/// It is resigned. If the lock was lost before, that is logged at `warn`, with the time for which the leader continued after the loss was noticed.
#[must_use = "it is resigned when it is dropped"]
pub struct Leadership<C: NamedLockConnection> {
    /// `None` once it is resigned.
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
            // A thread that is about to wait holds the mutex.
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

    /// Returns whether this process is the leader: it was not asked to step down, and the lock is not known to be lost. Once `false`, it
    /// stays `false`.
    ///
    /// `true` may be as old as the last ping. It is never `true` once this session has been silent for the
    /// [idle limit](super::LeaderElection::idle_limit), after which the server may give the lock to another session.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        !*self.requests.lock() && !self.watched().is_lost()
    }

    /// Waits for at most `timeout` until this process is no longer the leader. Returns `true` if it is not.
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

    /// Returns a handle with which any thread can ask this leader to step down.
    #[must_use]
    pub fn step_down(&self) -> StepDown {
        StepDown(self.requests.clone())
    }

    /// Returns the number of this leadership, which is larger than those of all earlier leaderships. It is a fencing token, which
    /// [`fence::check`](crate::fence::check) refuses once another leader was elected.
    ///
    /// `None` if the leader's database has no table for tokens: see [`fence`](crate::fence).
    #[cfg(feature = "fence")]
    #[must_use]
    pub fn term(&self) -> Option<FencingToken> {
        self.term
    }

    /// Returns when this leader was elected.
    #[must_use]
    pub fn elected(&self) -> Instant {
        self.elected
    }

    /// Returns how long ago the last answered ping was sent.
    #[must_use]
    pub fn silent_for(&self) -> Duration {
        self.watched().silent_for()
    }

    /// Returns the name of the lock.
    #[must_use]
    pub fn name(&self) -> &LockName {
        &self.watched().names()[0]
    }

    /// Returns the id of the leader's session.
    #[must_use]
    pub fn connection_id(&self) -> ConnectionId {
        self.watched().connection_id()
    }

    /// Releases the lock and waits for the server's confirmation. Within milliseconds, the server gives the lock to the candidate that has
    /// waited longest.
    ///
    /// # Errors
    ///
    /// Returns [`NamedLockError::Lost`] if the lock was lost before.
    pub fn resign(mut self) -> Result<(), NamedLockError> {
        let Some(watched) = self.end() else { unreachable!("it is resigned once") };
        if !watched.is_lost() {
            return Ok(watched.into_guard().release().map(drop)?);
        }
        // Dropping it does not wait for the network.
        let (name, connection_id) = (watched.names()[0].clone(), watched.connection_id());
        drop(watched);
        Err(NamedLockError::Lost { name, connection_id, source: None })
    }

    fn end(&mut self) -> Option<WatchedGuard<NamedLockGuard<C>>> {
        let watched = self.watched.take()?;
        warn_of_late(&watched.names()[0], watched.connection_id(), watched.lost_for());
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
