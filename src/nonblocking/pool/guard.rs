//! A lock of a pool that is held for as long as a value lives.

use std::{
    fmt,
    ops::{Deref, DerefMut},
    time::Duration,
};

use diesel::result::QueryResult;

use super::{ConnectionPool, NamedLockPool, hand_off::Entered, section::PooledSection};
use crate::{
    connection_id::ConnectionId,
    error::NamedLockError,
    keep_alive_error::KeepAliveError,
    name::LockName,
    names::Names,
    nonblocking::{
        AsyncWork, NamedLock,
        transaction::transaction,
        watched::{self, Watchable, WatchedGuard},
    },
};

/// A named lock that is held, with the connection of the pool that it is held on.
///
/// Returned by [`NamedLockPool::acquire`]. As [`NamedLockGuard`](crate::nonblocking::NamedLockGuard), but released, it hands the lock to
/// the next task in the queue, if the pool's [limits](super::NamedLockPoolBuilder::max_hand_off_time) allow it. If it is dropped, the
/// session is killed, and then it is the next task's turn.
#[must_use = "the lock is released when the guard is dropped, and the connection is closed"]
pub struct PooledGuard<P: ConnectionPool> {
    entered: Entered<P>,
    locks: NamedLockPool<P>,
    lock: NamedLock,
}

impl<P: ConnectionPool> NamedLockPool<P> {
    /// Waits for the lock, then returns it with a connection of the pool, for a lock that outlives a function or moves to another task.
    ///
    /// The lock's timeout covers the queue, the checkout and the server. In all other cases, prefer [`run`](Self::run).
    ///
    /// # Errors
    ///
    /// Returns any [`NamedLockError`] for which [`work_ran`](NamedLockError::work_ran) is `false`. Nothing is held.
    pub async fn acquire(&self, lock: &NamedLock) -> Result<PooledGuard<P>, NamedLockError> {
        let entered = PooledSection::new(self, lock.clone().into())?.enter().await?;
        Ok(PooledGuard { entered, locks: self.clone(), lock: lock.clone() })
    }
}

impl<P: ConnectionPool> PooledGuard<P> {
    /// Rolls back what is open, releases the lock or hands it to the next task, and returns the connection to its pool.
    ///
    /// # Errors
    ///
    /// Returns what was lost, as [`NamedLockGuard::release`](crate::nonblocking::NamedLockGuard::release) does.
    pub async fn release(self) -> Result<(), NamedLockError> {
        let Self { entered, locks, lock } = self;
        entered.leave(&locks.0.hand_offs, lock.names(), ()).await.error.map_or(Ok(()), Err)
    }

    /// Runs `work` inside a transaction, like [`NamedLockGuard::transaction`](crate::nonblocking::NamedLockGuard::transaction).
    ///
    /// # Errors
    ///
    /// Returns the error of `work`, and Diesel's own errors from `BEGIN`, `COMMIT` and `ROLLBACK`.
    pub fn transaction<'a, 'c, T, E, F>(&'c mut self, work: F) -> impl Future<Output = Result<T, E>> + Send
    where
        T: Send + 'a,
        E: From<diesel::result::Error> + Send + 'a,
        for<'r> F: AsyncFnOnce(&'r mut P::Connection) -> Result<T, E>
            + AsyncWork<&'r mut P::Connection, Result<T, E>, Future: Send>
            + Send
            + 'a,
        'a: 'c,
    {
        transaction(self.entered.begun.conn(), work)
    }

    /// Returns whether the session holds the lock at this moment: of several, each. One round trip for each lock.
    ///
    /// # Errors
    ///
    /// Returns [`NamedLockError::Database`] if the server does not answer. Then the lock is probably lost.
    pub async fn still_holds(&mut self) -> Result<bool, NamedLockError> {
        self.entered.begun.still_holds().await
    }

    /// Moves the connection into a task of its own, which pings it: see
    /// [`NamedLockGuard::keep_alive`](crate::nonblocking::NamedLockGuard::keep_alive).
    ///
    /// # Errors
    ///
    /// Returns the guard with the reason if `interval` is zero, or is not less than the session's `wait_timeout`; also if the server
    /// does not tell that one.
    ///
    /// # Panics
    ///
    /// Panics outside a runtime of tokio.
    pub async fn keep_alive(self, interval: Duration) -> Result<WatchedGuard<Self>, KeepAliveError<Self>> {
        watched::keep_alive(self, interval).await
    }

    /// Returns the names, each once, in the order in which they were acquired.
    #[must_use]
    pub fn names(&self) -> &[LockName] {
        self.lock.names()
    }

    /// Returns the session that has acquired the lock.
    #[must_use]
    pub fn connection_id(&self) -> ConnectionId {
        self.entered.begun.session()
    }
}

impl<P: ConnectionPool> Watchable for PooledGuard<P> {
    fn watched_locks(&self) -> (Names, ConnectionId) {
        (self.entered.begun.locks().clone(), self.entered.begun.session())
    }

    async fn longest_idle_time(&mut self) -> QueryResult<Duration> {
        self.entered.begun.longest_idle_time().await
    }

    async fn still_holds(&mut self) -> Result<bool, NamedLockError> {
        self.entered.begun.still_holds().await
    }

    async fn kill(&mut self) {
        self.entered.begun.kill().await;
    }
}

impl<P: ConnectionPool> Deref for PooledGuard<P> {
    type Target = P::Connection;

    fn deref(&self) -> &P::Connection {
        self.entered.begun.conn_ref()
    }
}

impl<P: ConnectionPool> DerefMut for PooledGuard<P> {
    fn deref_mut(&mut self) -> &mut P::Connection {
        self.entered.begun.conn()
    }
}

impl<P: ConnectionPool> fmt::Debug for PooledGuard<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (names, connection_id) = (self.names(), self.connection_id());
        f.debug_struct("PooledGuard")
            .field("names", &names)
            .field("connection_id", &connection_id)
            .finish_non_exhaustive()
    }
}
