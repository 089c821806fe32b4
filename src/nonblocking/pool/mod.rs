//! Tasks that wait for a lock without a connection each.

mod builder;
mod connection_pool;
mod guard;
mod hand_off;
mod rescue;
mod section;

use std::{fmt, sync::Arc, time::Duration};

pub use self::{builder::NamedLockPoolBuilder, connection_pool::ConnectionPool, guard::PooledGuard};
use self::{hand_off::Baton, section::PooledSection};
use super::{AsyncWork, NamedLock};
pub use crate::queue::events::{
    HandedOffEvent, HandleLockEvent, HeldEvent, LostEvent, NopLockEventHandler, TimedOutEvent, WaitedEvent,
};
use crate::{
    error::NamedLockError,
    name::LockName,
    queue::{hand_offs::HandOffs, line::Queue, tasks::Tasks},
    section::outcome::Section,
};

/// Sections on connections of a pool of bb8 or deadpool, for which tasks wait without holding a connection.
///
/// The tasks of this process that want the same lock queue in the process, first come, first served. One of them at most waits on the
/// server, and uses a connection; the others use none. If a section ends and another task is next, the connection goes to that task *with
/// the lock still held*, after the server was asked whether it is. The blocking [`NamedLockPool`](crate::pool::NamedLockPool) says more,
/// also about the timeout, and what is not promised.
///
/// A clone is the same queue: make one for a process and clone it.
///
/// ```no_run
/// use std::time::Duration;
///
/// use diesel_async::{AsyncMysqlConnection, RunQueryDsl, pooled_connection::{AsyncDieselConnectionManager, deadpool::Pool}};
/// use diesel_named_lock::{NamedLockError, nonblocking::pool::NamedLockPool};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let manager = AsyncDieselConnectionManager::<AsyncMysqlConnection>::new("mysql://app@127.0.0.1/shop");
/// let locks = NamedLockPool::new(Pool::builder(manager).build()?);
/// locks
///     .with_named_lock("shop:stock", Duration::from_secs(5), async |conn| {
///         diesel::sql_query("UPDATE stock SET amount = amount - 1").execute(conn).await?;
///         Ok::<_, NamedLockError>(())
///     })
///     .await?;
/// # Ok(())
/// # }
/// ```
///
/// # If a future is dropped
///
/// A task that waits leaves the line. The session of a section that runs is killed, by a second connection of the pool if its statement is
/// still running, and then it is the next task's turn. See [Cancellation](super#cancellation).
///
/// # What it does not promise
///
/// Besides what holds for the blocking one: **a section inside another one, over the same lock, waits for its timeout**. A task may run
/// several sections side by side, so nobody can tell that one of them waits for itself. Use the connection that the closure gets: on
/// that one it is [`AlreadyHeld`](NamedLockError::AlreadyHeld). The same goes for tasks that wait for each other in a circle: acquire
/// locks together, by [`NamedLock::all_of`].
pub struct NamedLockPool<P: ConnectionPool>(Arc<Shared<P>>);

struct Shared<P: ConnectionPool> {
    queue: Queue<LockName, Baton<P>, Tasks>,
    pool: P,
    hand_offs: HandOffs,
}

impl<P: ConnectionPool> NamedLockPool<P> {
    /// Creates the queue for the locks of this pool's server.
    #[must_use]
    pub fn new(pool: P) -> Self {
        Self::builder(pool).build()
    }

    /// Returns a builder, for options.
    pub fn builder(pool: P) -> NamedLockPoolBuilder<P> {
        NamedLockPoolBuilder::new(pool)
    }

    /// Returns the pool that the connections come from.
    #[must_use]
    pub fn pool(&self) -> &P {
        &self.0.pool
    }

    /// Returns how many tasks of this process queue for the lock now, none of them with a connection. The one whose turn it is,
    /// which holds the lock or waits for it on the server, doesn't count.
    #[must_use]
    pub fn waiting(&self, name: &LockName) -> usize {
        self.0.queue.waiting(name)
    }

    /// Returns the same for all locks together.
    #[must_use]
    pub fn total_waiting(&self) -> usize {
        self.0.queue.total_waiting()
    }

    /// Waits for the lock for at most `timeout`, then runs `work` on a connection of the pool whose session holds it.
    ///
    /// # Errors
    ///
    /// Returns the error of `work`; otherwise any [`NamedLockError`], by `E::from`.
    pub fn with_named_lock<'a, T, E, F>(
        &self,
        name: impl TryInto<LockName, Error: Into<NamedLockError>>,
        timeout: Duration,
        work: F,
    ) -> impl Future<Output = Result<T, E>> + Send
    where
        T: Send + 'a,
        E: From<NamedLockError> + Send + 'a,
        for<'r> F: AsyncFnOnce(&'r mut P::Connection) -> Result<T, E>
            + AsyncWork<&'r mut P::Connection, Result<T, E>, Future: Send>
            + Send
            + 'a,
    {
        let section = NamedLock::new(name).and_then(|lock| PooledSection::new(self, lock.timeout(timeout).into()));
        async move { section?.run(work).await?.into_result() }
    }

    /// Runs `work` if the lock is free at once; returns `Ok(None)` if another task or another session holds it.
    ///
    /// For a connection it waits as the pool's own checkout does.
    ///
    /// # Errors
    ///
    /// As for [`with_named_lock`](Self::with_named_lock); [`NamedLockError::NoConnection`] if the pool had no connection.
    pub fn try_with_named_lock<'a, T, E, F>(
        &self,
        name: impl TryInto<LockName, Error: Into<NamedLockError>>,
        work: F,
    ) -> impl Future<Output = Result<Option<T>, E>> + Send
    where
        T: Send + 'a,
        E: From<NamedLockError> + Send + 'a,
        for<'r> F: AsyncFnOnce(&'r mut P::Connection) -> Result<T, E>
            + AsyncWork<&'r mut P::Connection, Result<T, E>, Future: Send>
            + Send
            + 'a,
    {
        let section = NamedLock::new(name).and_then(|lock| PooledSection::new(self, lock.no_wait().into()));
        async move {
            match section?.run(work).await {
                Ok(section) => section.into_result().map(Some),
                Err(NamedLockError::Timeout { .. }) => Ok(None),
                Err(error) => Err(error.into()),
            }
        }
    }

    /// Acquires the lock, begins a transaction, runs `work`, commits, and only then releases the lock or hands it off: see
    /// [`NamedLock::run_transaction`](crate::NamedLock::run_transaction).
    ///
    /// # Errors
    ///
    /// As for [`with_named_lock`](Self::with_named_lock), and Diesel's own errors from `BEGIN` and `COMMIT`.
    pub fn with_named_lock_transaction<'a, T, E, F>(
        &self,
        name: impl TryInto<LockName, Error: Into<NamedLockError>>,
        timeout: Duration,
        work: F,
    ) -> impl Future<Output = Result<T, E>> + Send
    where
        T: Send + 'a,
        E: From<NamedLockError> + From<diesel::result::Error> + Send + 'a,
        for<'r> F: AsyncFnOnce(&'r mut P::Connection) -> Result<T, E>
            + AsyncWork<&'r mut P::Connection, Result<T, E>, Future: Send>
            + Send
            + 'a,
    {
        let section = NamedLock::new(name).and_then(|lock| PooledSection::new(self, lock.timeout(timeout).into()));
        async move { section?.run_transaction(work).await }
    }

    /// Runs a section that was described before, as [`NamedLock::run`] does, on a connection of the pool, and without one while
    /// it queues.
    ///
    /// # Errors
    ///
    /// Returns the error of `work`; otherwise any [`NamedLockError`], by `E::from`.
    pub fn run<'a, T, E, F>(&self, lock: &NamedLock, work: F) -> impl Future<Output = Result<T, E>> + Send
    where
        T: Send + 'a,
        E: From<NamedLockError> + Send + 'a,
        for<'r> F: AsyncFnOnce(&'r mut P::Connection) -> Result<T, E>
            + AsyncWork<&'r mut P::Connection, Result<T, E>, Future: Send>
            + Send
            + 'a,
    {
        let section = PooledSection::new(self, lock.clone().into());
        async move { section?.run(work).await?.into_result() }
    }

    /// Like [`run`](Self::run), with `work` inside a transaction.
    ///
    /// # Errors
    ///
    /// As for [`run`](Self::run), and Diesel's own errors from `BEGIN` and `COMMIT`.
    pub fn run_transaction<'a, T, E, F>(&self, lock: &NamedLock, work: F) -> impl Future<Output = Result<T, E>> + Send
    where
        T: Send + 'a,
        E: From<NamedLockError> + From<diesel::result::Error> + Send + 'a,
        for<'r> F: AsyncFnOnce(&'r mut P::Connection) -> Result<T, E>
            + AsyncWork<&'r mut P::Connection, Result<T, E>, Future: Send>
            + Send
            + 'a,
    {
        let section = PooledSection::new(self, lock.clone().into());
        async move { section?.run_transaction(work).await }
    }

    /// Like [`run`](Self::run), for a closure that returns anything: its value comes back even if the lock was lost.
    ///
    /// # Errors
    ///
    /// Returns an error only if `work` has not run. What went wrong later is in [`Section::error`].
    pub fn section<'a, T, F>(
        &self,
        lock: &NamedLock,
        work: F,
    ) -> impl Future<Output = Result<Section<T>, NamedLockError>> + Send
    where
        T: Send + 'a,
        for<'r> F:
            AsyncFnOnce(&'r mut P::Connection) -> T + AsyncWork<&'r mut P::Connection, T, Future: Send> + Send + 'a,
    {
        let section = PooledSection::new(self, lock.clone().into());
        async move { section?.run(work).await }
    }
}

impl<P: ConnectionPool> Clone for NamedLockPool<P> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<P: ConnectionPool> fmt::Debug for NamedLockPool<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NamedLockPool").field("waiting", &self.total_waiting()).finish_non_exhaustive()
    }
}
