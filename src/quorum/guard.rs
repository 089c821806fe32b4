//! The guard of a quorum: a value that holds a lock on a majority of nodes.

use std::{fmt, sync::Arc, time::Duration};

use diesel::r2d2::{ManageConnection, PooledConnection};
use log::warn;

use super::{Turn, attempt::Attempt, error::QuorumError, members::Members};
use crate::{driver::status::NamedLockConnection, log_target::TARGET, name::LockName};

/// A guard that holds a lock on a majority of the nodes of a [`Quorum`](super::Quorum).
///
/// Returned by [`Quorum::acquire`](super::Quorum::acquire). A thread for each node keeps its session alive, and asks it three times in each
/// [idle limit](crate::NamedLock::idle_limit) whether it still holds the lock. The guard may move between threads.
///
/// # When it is dropped
///
/// The same happens as in [`release`](Self::release), even if a panic drops it. Errors, which nobody can receive then, are logged at `warn`.
#[must_use = "the lock is released when the guard is dropped"]
pub struct QuorumGuard<M>
where
    M: ManageConnection,
    PooledConnection<M>: NamedLockConnection + Send + 'static,
{
    attempt: Attempt<M>,
    /// `None` once it is released.
    turn: Option<Turn>,
}

impl<M> QuorumGuard<M>
where
    M: ManageConnection,
    PooledConnection<M>: NamedLockConnection + Send + 'static,
{
    pub(super) fn new(attempt: Attempt<M>, turn: Turn) -> Self {
        Self { attempt, turn: Some(turn) }
    }

    /// The turn belongs to no thread from now on.
    pub(super) fn detach(&self) {
        self.turn.iter().for_each(Turn::detach);
    }

    /// Runs `work` on the connection of the home, whose session is one of those that hold the lock.
    ///
    /// If another server was promoted since the last call, the home is another one than before, unless a transaction is open on the connection.
    ///
    /// The session is not kept alive while `work` runs, only asked about. A closure that computes for longer than the
    /// [idle limit](crate::NamedLock::idle_limit) does so in
    /// [`keep_alive_while`](crate::NamedLockExt::keep_alive_while).
    ///
    /// # Errors
    ///
    /// Returns [`QuorumError::Lost`] if the lock is lost. This `work` has not run, but what ran under the guard before may not have been alone.
    pub fn with_conn<T>(&mut self, work: impl FnOnce(&mut PooledConnection<M>) -> T) -> Result<T, QuorumError> {
        self.lend_to(work).ok_or_else(|| self.attempt.lost())
    }

    /// `None`: the lock is lost.
    fn lend_to<T>(&mut self, work: impl FnOnce(&mut PooledConnection<M>) -> T) -> Option<T> {
        let Some((node, guard)) = self.attempt.lend() else {
            self.attempt.look_at_members();
            return None;
        };
        let attempt = &mut self.attempt;
        let mut lent = scopeguard::guard(guard, |guard| attempt.take_back(node, guard));
        Some(work(&mut lent))
    }

    /// Runs `work` as the only one, and releases the lock.
    pub(super) fn run<T, E>(mut self, work: impl FnOnce(&mut PooledConnection<M>) -> Result<T, E>) -> Result<T, E>
    where
        E: From<QuorumError>,
    {
        let Some(value) = self.lend_to(work) else {
            // Nothing has run.
            let error = self.attempt.no_majority();
            let _ = self.finish();
            return Err(error.into());
        };
        match (value, self.release()) {
            (Ok(_), Err(error)) => Err(error.into()),
            (value, Ok(())) => value,
            (Err(error), Err(lost)) => {
                warn!(target: TARGET, "{lost}");
                Err(error)
            }
        }
    }

    /// Returns whether the lock is known to be lost: so many nodes are that the rest is no majority. Once `true`, it stays `true`, and the
    /// release returns [`QuorumError::Lost`].
    ///
    /// Answers from memory. A session that was killed is noticed within a third of the [idle limit](crate::NamedLock::idle_limit), and a
    /// node that is silent within two thirds.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.attempt.members().is_lost()
    }

    /// Returns a handle that says the same, for other threads and for closures.
    #[must_use]
    pub fn watch(&self) -> QuorumWatch {
        QuorumWatch(self.attempt.members().clone())
    }

    /// Returns the names of the nodes that count as held, as far as is known.
    ///
    /// A node that was lost, or could not be used at first, counts again when it has been acquired and a majority of the others has confirmed since
    /// then that they still hold the lock. That takes one or two thirds of the idle limit.
    #[must_use]
    pub fn nodes(&self) -> Vec<&str> {
        self.attempt.member_names()
    }

    /// Returns the name of the lock.
    #[must_use]
    pub fn name(&self) -> &LockName {
        self.attempt.name()
    }

    /// Rolls back what is open, and releases the lock on all nodes, confirmed by a majority.
    ///
    /// # Errors
    ///
    /// Returns [`QuorumError::Lost`] if fewer nodes confirm that they were held to the end, and
    /// [`TransactionLeftOpen`](crate::NamedLockError::TransactionLeftOpen) if a transaction was open, which was rolled back.
    pub fn release(mut self) -> Result<(), QuorumError> {
        self.finish()
    }

    fn finish(&mut self) -> Result<(), QuorumError> {
        let turn = self.turn.take();
        let released = self.attempt.finish();
        drop(turn);
        released
    }
}

/// A handle that says whether the lock of a [`QuorumGuard`] is lost. Cheap to clone.
#[derive(Clone)]
pub struct QuorumWatch(Arc<Members>);

impl QuorumWatch {
    /// Returns whether the lock is known to be lost: see [`QuorumGuard::is_lost`].
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.0.is_lost()
    }

    /// Waits for at most `timeout` until the lock is known to be lost. Returns whether it is.
    pub fn lost(&self, timeout: Duration) -> bool {
        self.0.lost(timeout)
    }
}

impl fmt::Debug for QuorumWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuorumWatch").field("is_lost", &self.is_lost()).finish_non_exhaustive()
    }
}

impl<M> Drop for QuorumGuard<M>
where
    M: ManageConnection,
    PooledConnection<M>: NamedLockConnection + Send + 'static,
{
    fn drop(&mut self) {
        if self.turn.is_none() {
            return;
        }
        if let Err(error) = self.finish() {
            warn!(target: TARGET, "{error}");
        }
    }
}

impl<M> fmt::Debug for QuorumGuard<M>
where
    M: ManageConnection,
    PooledConnection<M>: NamedLockConnection + Send + 'static,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuorumGuard").field("name", &self.name()).field("nodes", &self.nodes()).finish_non_exhaustive()
    }
}
