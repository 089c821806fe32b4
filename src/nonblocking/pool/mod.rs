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
    section::outcome::{Section, if_free},
};

/// Sections on connections of a pool of bb8 or deadpool, with a queue in which tasks wait without a connection each.
///
/// The tasks of this process that want the same lock queue in the process, first come, first served. At most one of them waits on the server,
/// and uses a connection. The others use none. When a section ends and another task is next, the server is asked whether the lock is still
/// held. Then that task gets the connection *with the lock still held*. The blocking [`NamedLockPool`](crate::pool::NamedLockPool) says more,
/// also about the timeout, and about what is not promised.
///
/// Make one `NamedLockPool` for a process (and pool) and clone it: a clone shares the queue.
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
/// A waiting task leaves the queue. The session of a running section is killed, by a second connection of the pool if its statement still runs.
/// Then it is the next task's turn. See [Cancellation](super#cancellation).
///
/// # What it does not promise
///
/// The limits of the blocking `NamedLockPool` apply. In addition, **a section inside another section over the same lock waits until its
/// timeout**. A task may run several sections concurrently, so the queue can't know that one of them waits for itself. Use the connection that
/// the closure gets: there, it is [`AlreadyHeld`](NamedLockError::AlreadyHeld). Tasks that wait for each other in a circle wait until their
/// timeouts, too. Acquire locks together, with [`NamedLock::all_of`].
pub struct NamedLockPool<P: ConnectionPool>(Arc<Shared<P>>);

struct Shared<P: ConnectionPool> {
    queue: Queue<LockName, Baton<P>, Tasks>,
    pool: P,
    hand_offs: HandOffs,
}

impl<P: ConnectionPool> NamedLockPool<P> {
    /// Creates a `NamedLockPool` on `pool`, with the default options.
    #[must_use]
    pub fn new(pool: P) -> Self {
        Self::builder(pool).build()
    }

    /// Returns a builder, to set options.
    pub fn builder(pool: P) -> NamedLockPoolBuilder<P> {
        NamedLockPoolBuilder::new(pool)
    }

    /// Returns the pool of the connections.
    #[must_use]
    pub fn pool(&self) -> &P {
        &self.0.pool
    }

    /// Returns how many tasks of this process queue for the lock now, without a connection. The task whose turn it is, which holds the lock or
    /// waits for it on the server, does not count.
    #[must_use]
    pub fn waiting(&self, name: &LockName) -> usize {
        self.0.queue.waiting(name)
    }

    /// Returns how many tasks queue for any lock now.
    #[must_use]
    pub fn total_waiting(&self) -> usize {
        self.0.queue.total_waiting()
    }

    /// Waits for the lock for at most `timeout`, then runs `work` on a connection of the pool whose session holds the lock.
    ///
    /// # Errors
    ///
    /// Returns the error of `work`. Otherwise returns any [`NamedLockError`], converted by `E::from`.
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

    /// Runs `work` if the lock is free. Does not wait for the lock: returns `Ok(None)` if another task or session holds it.
    ///
    /// It waits for a connection as the pool's own checkout does.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`with_named_lock`](Self::with_named_lock), except [`NamedLockError::Timeout`]. Returns
    /// [`NamedLockError::NoConnection`] if the pool had no connection.
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
        async move { if_free(section?.run(work).await) }
    }

    /// Acquires the lock, begins a transaction, runs `work`, commits, and only then releases the lock or hands it off: see
    /// [`NamedLock::run_transaction`](crate::NamedLock::run_transaction).
    ///
    /// The transaction takes two round trips, `BEGIN` and `COMMIT`.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`with_named_lock`](Self::with_named_lock), and Diesel's own errors from `BEGIN` and `COMMIT`.
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

    /// Runs `work` under `lock`, like [`NamedLock::run`], on a connection of the pool. While it queues, it uses no connection.
    ///
    /// # Errors
    ///
    /// Returns the error of `work`. Otherwise returns any [`NamedLockError`], converted by `E::from`.
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

    /// Runs `work` if the lock is free, as [`try_with_named_lock`](Self::try_with_named_lock) does, whatever the lock's timeout.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`run`](Self::run), except [`NamedLockError::Timeout`].
    pub fn try_run<'a, T, E, F>(&self, lock: &NamedLock, work: F) -> impl Future<Output = Result<Option<T>, E>> + Send
    where
        T: Send + 'a,
        E: From<NamedLockError> + Send + 'a,
        for<'r> F: AsyncFnOnce(&'r mut P::Connection) -> Result<T, E>
            + AsyncWork<&'r mut P::Connection, Result<T, E>, Future: Send>
            + Send
            + 'a,
    {
        let section = PooledSection::new(self, lock.clone().no_wait().into());
        async move { if_free(section?.run(work).await) }
    }

    /// Like [`run`](Self::run), with `work` inside a transaction.
    ///
    /// The transaction takes two round trips, `BEGIN` and `COMMIT`.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`run`](Self::run), and Diesel's own errors from `BEGIN` and `COMMIT`.
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

    /// Like [`run`](Self::run), for a closure that may return any type. You get its value even if the lock was lost.
    ///
    /// # Errors
    ///
    /// Returns an error only if `work` has not run. [`Section::error`] has what went wrong later.
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
