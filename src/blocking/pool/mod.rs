//! Pools: threads that wait for a lock without a connection each, and connections that are clean when they return.

mod baton;
mod builder;
mod clean_sessions;
mod guard;
mod hand_off;
mod proof;
mod section;

use std::{fmt, sync::Arc, time::Duration};

use diesel::r2d2::{ManageConnection, Pool, PooledConnection};

use self::{baton::Baton, section::PooledSection};
pub use self::{builder::NamedLockPoolBuilder, clean_sessions::CleanSessions, guard::PooledGuard};
pub use crate::queue::events::{
    HandedOffEvent, HandleLockEvent, HeldEvent, LostEvent, NopLockEventHandler, TimedOutEvent, WaitedEvent,
};
use crate::{
    blocking::transaction::transaction,
    driver::status::NamedLockConnection,
    error::NamedLockError,
    lock::NamedLock,
    name::LockName,
    queue::line::Queue,
    section::outcome::{Section, if_free},
};

/// Sections on connections of an `r2d2` pool, with a queue in which threads wait without a connection each.
///
/// With [`NamedLockExt::with_named_lock`](crate::NamedLockExt::with_named_lock) on a checked-out connection, every waiting thread occupies a
/// connection of the pool. Here, the threads of this process that want the same lock queue in the process, first come, first served. At most
/// one of them waits on the server, and uses a connection. The others use none.
///
/// When a section ends and another thread is next, that thread gets the connection *with the lock still held*: no release, no checkout, no
/// acquire. Instead, the server is asked whether the lock is still held (one round trip), so that `Ok` means the same as always: exclusive
/// to the end. With [`group_confirmation`](NamedLockPoolBuilder::group_confirmation), one answer serves several hand-offs. To be fair to
/// other processes, the lock is released to the server's own first-come, first-served queue after a
/// [number](NamedLockPoolBuilder::max_hand_offs) of hand-offs or a [time](NamedLockPoolBuilder::max_hand_off_time).
///
/// Make one `NamedLockPool` for a process (and pool) and clone it: a clone shares the queue. Sections by `NamedLockExt` on a connection
/// exclude these and are excluded by them, but don't take part in the queue.
///
/// ```no_run
/// use std::time::Duration;
///
/// use diesel::{MysqlConnection, prelude::*, r2d2::{ConnectionManager, Pool}};
/// use diesel_named_lock::{NamedLockError, pool::NamedLockPool};
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     let pool = Pool::new(ConnectionManager::<MysqlConnection>::new("mysql://app@127.0.0.1/shop"))?;
///     let locks = NamedLockPool::new(pool.clone());
///     std::thread::scope(|scope| {
///         for _ in 0..100 {
///             scope.spawn(|| {
///                 locks.with_named_lock("shop:stock", Duration::from_secs(5), |conn| {
///                     diesel::sql_query("UPDATE stock SET amount = amount - 1").execute(conn)?;
///                     Ok::<_, NamedLockError>(())
///                 })
///             });
///         }
///     });
///     Ok(())
/// }
/// ```
///
/// # The timeout
///
/// The timeout covers the queue, the checkout and the server. A checkout is also limited by the pool's own `connection_timeout`.
/// [`NamedLockError::Timeout`] says where the time went.
///
/// A non-waiting section ([`try_with_named_lock`](Self::try_with_named_lock), or a timeout of zero) still waits for a connection, up to the
/// pool's `connection_timeout`.
///
/// # What it does not promise
///
/// [The limits of every section](NamedLock::run) apply, and:
///
/// * Other processes, other `NamedLockPool`s and plain connections don't take part in the queue. The server serves them in turns. A turn of
///   this process is up to `max_hand_offs` + 1 sections.
/// * A thread that waits for itself gets [`AlreadyHeld`](NamedLockError::AlreadyHeld) only if the thread of the outer section calls the inner
///   section. Threads of one queue that wait for each other in a circle get [`Deadlock`](NamedLockError::Deadlock). With a guard, which may
///   move between threads, neither is noticed. A circle that involves the server, or a thread that the closure has started, ends only with
///   the timeout.
/// * Names that differ in letter case have separate queues. On MySQL they are one lock, and the server excludes their sections.
/// * A connection that died in the pool is replaced only if the pool notices: by its test at check-out, or by its manager's `has_broken`, as
///   with Diesel's manager. Otherwise, the pool hands out the dead connection again and again, as [`Broken`](NamedLockError::Broken).
/// * On MySQL, a transaction that raw SQL began and left open is handed off with the lock, even if the pool's manager is [`CleanSessions`]. On
///   MariaDB it is noticed, and the lock is released instead, unless the pool confirms in groups.
/// * A section over several locks ([`NamedLock::all_of`]) queues for each lock, but takes part in no hand-off. Nor does a section with an
///   [idle limit](NamedLock::idle_limit).
pub struct NamedLockPool<M: ManageConnection>(Arc<Shared<M>>);

struct Shared<M: ManageConnection> {
    queue: Queue<LockName, Baton<M>>,
    options: NamedLockPoolBuilder<M>,
}

impl<M: ManageConnection> NamedLockPool<M> {
    /// Creates a `NamedLockPool` on `pool`, with the default options.
    #[must_use]
    pub fn new(pool: Pool<M>) -> Self {
        Self::builder(pool).build()
    }

    /// Returns a builder, to set options.
    pub fn builder(pool: Pool<M>) -> NamedLockPoolBuilder<M> {
        NamedLockPoolBuilder::new(pool)
    }

    /// Returns the pool of the connections.
    #[must_use]
    pub fn pool(&self) -> &Pool<M> {
        &self.0.options.pool
    }

    /// Returns how many threads of this process queue for the lock now, without a connection. The thread whose turn it is, which holds the
    /// lock or waits for it on the server, does not count.
    #[must_use]
    pub fn waiting(&self, name: &LockName) -> usize {
        self.0.queue.waiting(name)
    }

    /// Returns how many threads queue for any lock now. A thread that needs several locks counts once, for the lock that it queues for.
    #[must_use]
    pub fn total_waiting(&self) -> usize {
        self.0.queue.total_waiting()
    }
}

impl<M> NamedLockPool<M>
where
    M: ManageConnection,
    PooledConnection<M>: NamedLockConnection,
{
    /// Waits for the lock for at most `timeout`, then runs `work` on a connection of the pool whose session holds the lock.
    ///
    /// [`NamedLockExt::with_named_lock`](crate::NamedLockExt::with_named_lock) says more about `name` and the types. For a section inside the
    /// section, use the connection that `work` gets.
    ///
    /// # Errors
    ///
    /// Returns the error of `work`. Otherwise returns any [`NamedLockError`], converted by `E::from`.
    pub fn with_named_lock<T, E, F>(
        &self,
        name: impl TryInto<LockName, Error: Into<NamedLockError>>,
        timeout: Duration,
        work: F,
    ) -> Result<T, E>
    where
        E: From<NamedLockError>,
        F: FnOnce(&mut PooledConnection<M>) -> Result<T, E>,
    {
        self.run(&NamedLock::new(name)?.timeout(timeout), work)
    }

    /// Runs `work` if the lock is free. Does not wait for the lock: returns `Ok(None)` if another thread or session holds it.
    ///
    /// It waits for a connection as `pool.get()` does.
    ///
    /// ```no_run
    /// # use diesel::{MysqlConnection, r2d2::ConnectionManager};
    /// # use diesel_named_lock::{NamedLockError, pool::NamedLockPool};
    /// # fn clean_up(_: &mut MysqlConnection) -> Result<u32, NamedLockError> { Ok(0) }
    /// # fn run(locks: &NamedLockPool<ConnectionManager<MysqlConnection>>) -> Result<(), NamedLockError> {
    /// match locks.try_with_named_lock("clean-up", |conn| clean_up(conn))? {
    ///     Some(removed) => println!("{removed} removed"),
    ///     None => println!("already being done elsewhere"),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns the errors of [`with_named_lock`](Self::with_named_lock), except [`NamedLockError::Timeout`]. Returns
    /// [`NamedLockError::NoConnection`] if the pool had no connection.
    pub fn try_with_named_lock<T, E, F>(
        &self,
        name: impl TryInto<LockName, Error: Into<NamedLockError>>,
        work: F,
    ) -> Result<Option<T>, E>
    where
        E: From<NamedLockError>,
        F: FnOnce(&mut PooledConnection<M>) -> Result<T, E>,
    {
        self.try_run(&NamedLock::new(name)?, work)
    }

    /// Acquires the lock, begins a transaction, runs `work`, commits, and only then releases the lock or hands it off: see
    /// [`NamedLock::run_transaction`].
    ///
    /// The transaction takes six round trips: Diesel sends `BEGIN` and `COMMIT` by `batch_execute`, which
    /// switches several statements at once on before each and off after it.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`with_named_lock`](Self::with_named_lock), and Diesel's own errors from `BEGIN` and `COMMIT`.
    pub fn with_named_lock_transaction<T, E, F>(
        &self,
        name: impl TryInto<LockName, Error: Into<NamedLockError>>,
        timeout: Duration,
        work: F,
    ) -> Result<T, E>
    where
        E: From<NamedLockError> + From<diesel::result::Error>,
        F: FnOnce(&mut PooledConnection<M>) -> Result<T, E>,
    {
        self.run_transaction(&NamedLock::new(name)?.timeout(timeout), work)
    }

    /// Runs `work` under `lock`, like [`NamedLock::run`], on a connection of the pool. While it queues, it uses no connection.
    ///
    /// ```no_run
    /// # use diesel::{MysqlConnection, prelude::*, r2d2::ConnectionManager};
    /// # use diesel_named_lock::{NamedLock, NamedLockError, pool::NamedLockPool};
    /// # fn sync(locks: &NamedLockPool<ConnectionManager<MysqlConnection>>) -> Result<(), NamedLockError> {
    /// locks.run(&NamedLock::all_of(["account:7", "account:4"])?, |conn| {
    ///     diesel::sql_query("UPDATE account SET cents = 0 WHERE id IN (4, 7)").execute(conn)?;
    ///     Ok(())
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns the error of `work`. Otherwise returns any [`NamedLockError`], converted by `E::from`.
    pub fn run<T, E, F>(&self, lock: &NamedLock, work: F) -> Result<T, E>
    where
        E: From<NamedLockError>,
        F: FnOnce(&mut PooledConnection<M>) -> Result<T, E>,
    {
        PooledSection::new(self, lock)?.run(work, Result::is_ok)?.into_result()
    }

    /// Runs `work` if the lock is free, as [`try_with_named_lock`](Self::try_with_named_lock) does, whatever the lock's timeout.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`run`](Self::run), except [`NamedLockError::Timeout`].
    pub fn try_run<T, E, F>(&self, lock: &NamedLock, work: F) -> Result<Option<T>, E>
    where
        E: From<NamedLockError>,
        F: FnOnce(&mut PooledConnection<M>) -> Result<T, E>,
    {
        if_free(PooledSection::new(self, &lock.clone().no_wait())?.run(work, Result::is_ok))
    }

    /// Like [`run`](Self::run), with `work` inside a transaction: see [`NamedLock::run_transaction`].
    ///
    /// The transaction takes six round trips: Diesel sends `BEGIN` and `COMMIT` by `batch_execute`, which
    /// switches several statements at once on before each and off after it.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`run`](Self::run), and Diesel's own errors from `BEGIN` and `COMMIT`.
    pub fn run_transaction<T, E, F>(&self, lock: &NamedLock, work: F) -> Result<T, E>
    where
        E: From<NamedLockError> + From<diesel::result::Error>,
        F: FnOnce(&mut PooledConnection<M>) -> Result<T, E>,
    {
        self.run(lock, |conn| transaction(conn, work))
    }

    /// Like [`run`](Self::run), for a closure that may return any type: see [`NamedLock::section`].
    ///
    /// # Errors
    ///
    /// Returns an error only if `work` has not run. [`Section::error`] has what went wrong later.
    pub fn section<T, F>(&self, lock: &NamedLock, work: F) -> Result<Section<T>, NamedLockError>
    where
        F: FnOnce(&mut PooledConnection<M>) -> T,
    {
        PooledSection::new(self, lock)?.run(work, |_| false)
    }
}

impl<M: ManageConnection> Clone for NamedLockPool<M> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<M: ManageConnection> fmt::Debug for NamedLockPool<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NamedLockPool").field("waiting", &self.total_waiting()).finish_non_exhaustive()
    }
}
