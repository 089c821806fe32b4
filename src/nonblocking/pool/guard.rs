//! The guard of a pool: a value that holds a lock and owns a connection of the pool.

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

/// A guard that holds a named lock and owns a connection of the pool.
///
/// Returned by [`NamedLockPool::acquire`]. It is like [`NamedLockGuard`](crate::nonblocking::NamedLockGuard). But when it is released, it
/// hands off the lock to the next task in the queue, if the pool's [limits](super::NamedLockPoolBuilder::max_hand_off_time) allow it. If it
/// is dropped, the session is killed, and then it is the next task's turn.
#[must_use = "the lock is released when the guard is dropped, and the connection is closed"]
pub struct PooledGuard<P: ConnectionPool> {
    entered: Entered<P>,
    locks: NamedLockPool<P>,
    lock: NamedLock,
}

impl<P: ConnectionPool> NamedLockPool<P> {
    /// Acquires the lock and returns a guard that owns a connection of the pool.
    ///
    /// Use it if the lock outlives a function, or moves to another task. Otherwise prefer [`run`](Self::run). The lock's timeout covers the
    /// queue, the checkout and the server.
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
    /// Rolls back what is open, releases the lock or hands it off to the next task, and returns the connection to its pool.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`NamedLockGuard::release`](crate::nonblocking::NamedLockGuard::release).
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

    /// Asks the server whether the session holds the lock at this moment; of several, all of them. One round trip.
    ///
    /// # Errors
    ///
    /// Returns [`NamedLockError::Database`] if the server does not answer. Then the lock is probably lost.
    pub async fn still_holds(&mut self) -> Result<bool, NamedLockError> {
        self.entered.begun.still_holds().await
    }

    /// Moves the connection to a new task, which pings it: see
    /// [`NamedLockGuard::keep_alive`](crate::nonblocking::NamedLockGuard::keep_alive).
    ///
    /// # Errors
    ///
    /// Returns [`KeepAliveError`], which has the guard, if `interval` is zero or not less than the session's `wait_timeout`, or if the
    /// server does not answer the question for it.
    ///
    /// # Panics
    ///
    /// Panics if it is called outside a runtime of tokio.
    pub async fn keep_alive(self, interval: Duration) -> Result<WatchedGuard<Self>, KeepAliveError<Self>> {
        watched::keep_alive(self, interval).await
    }

    /// Returns the names, each once, in the order in which they were acquired.
    #[must_use]
    pub fn names(&self) -> &[LockName] {
        self.entered.begun.locks().as_slice()
    }

    /// Returns the id of the session that acquired the lock.
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
