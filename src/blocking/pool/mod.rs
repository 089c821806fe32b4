//! Pools: threads that wait for a lock without a connection each, and connections that come back clean.

mod baton;
mod builder;
mod clean_sessions;
mod guard;
mod hand_off;
mod section;

use std::{fmt, sync::Arc, time::Duration};

use diesel::r2d2::{ManageConnection, Pool, PooledConnection};

use self::{baton::Baton, section::PooledSection};
pub use self::{builder::NamedLockPoolBuilder, clean_sessions::CleanSessions, guard::PooledGuard};
pub use crate::queue::events::{
    HandedOffEvent, HandleLockEvent, HeldEvent, LostEvent, NopLockEventHandler, TimedOutEvent, WaitedEvent,
};
use crate::{
    blocking::transaction::transaction, driver::status::NamedLockConnection, error::NamedLockError, lock::NamedLock,
    name::LockName, queue::line::Queue, section::outcome::Section,
};

/// Sections on connections of an `r2d2` pool, for which threads wait without holding a connection.
///
/// With [`NamedLockExt::with_named_lock`](crate::NamedLockExt::with_named_lock) on a checked-out connection, every
/// thread that waits keeps a connection of the pool from the rest of the application. Here, the threads of this process
/// that want the same lock queue in the process, first come, first served. One of them at most waits on the server, and
/// uses a connection; the others use none.
///
/// When a section ends and another thread is next, the connection goes to it *with the lock still held*: no release, no
/// checkout, no acquire. Instead of the release, the server is asked whether the lock is still held (one round trip), so
/// that `Ok` means the same as ever: exclusive to the end. (Who wants speed more than that has
/// [`unconfirmed_hand_offs`](NamedLockPoolBuilder::unconfirmed_hand_offs).) To be fair to other processes, the lock is
/// released to the server's own first-come, first-served queue after a
/// [number](NamedLockPoolBuilder::max_hand_offs) of hand-offs or a [time](NamedLockPoolBuilder::max_hand_off_time).
///
/// A clone is the same queue: make one for a process (for a pool) and clone it. Locks that are taken by `NamedLockExt` on a
/// connection exclude each other with these, but don't take part in the queue.
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
/// It covers all of it: the queue, the checkout, the server. A checkout takes no longer than the pool's own
/// `connection_timeout` either. [`NamedLockError::Timeout`] tells where the time went. Only a section that does not wait at
/// all ([`try_with_named_lock`](Self::try_with_named_lock), a timeout of zero) gives the checkout the pool's
/// `connection_timeout`: a connection is not the lock.
///
/// # What it does not promise
///
/// Besides [what holds for every section](NamedLock::run):
///
/// * Threads that take part in no queue (other processes, other `NamedLockPool`s, plain connections) are served by the
///   server, in turns: a turn of this process is up to `max_hand_offs` + 1 sections.
/// * That a thread waits for itself is noticed where the inner section is called by the thread of the outer one
///   ([`AlreadyHeld`](NamedLockError::AlreadyHeld)), and that threads of one queue wait for each other in a circle, too
///   ([`Deadlock`](NamedLockError::Deadlock)). Of a guard, which may move between threads, neither is noticed. A circle that goes in part through the server, or through a thread that the
///   work has started, ends only by the timeout.
/// * Names that differ in letter case queue apart; on MySQL they are one lock, and the server keeps them apart.
/// * A connection that died in the pool is replaced only where the pool can tell: by its test at check-out, or by its
///   manager's `has_broken`, as Diesel's does. Where neither does, it comes again and again:
///   [`Broken`](NamedLockError::Broken).
/// * On MySQL, a transaction that raw SQL began and left open is handed on with the lock, even if the pool's manager is
///   [`CleanSessions`]; on MariaDB it is seen, and the lock is released instead.
/// * A section over several locks ([`NamedLock::all_of`]) queues for each, but is not handed a lock and hands none on;
///   nor is one with a [bound](NamedLock::idle_limit).
pub struct NamedLockPool<M: ManageConnection>(Arc<Shared<M>>);

struct Shared<M: ManageConnection> {
    queue: Queue<LockName, Baton<M>>,
    options: NamedLockPoolBuilder<M>,
}

impl<M: ManageConnection> NamedLockPool<M> {
    /// The locks of this pool's server.
    #[must_use]
    pub fn new(pool: Pool<M>) -> Self {
        Self::builder(pool).build()
    }

    /// The same, with options.
    pub fn builder(pool: Pool<M>) -> NamedLockPoolBuilder<M> {
        NamedLockPoolBuilder::new(pool)
    }

    /// The pool that the connections come from.
    #[must_use]
    pub fn pool(&self) -> &Pool<M> {
        &self.0.options.pool
    }

    /// How many threads of this process queue for the lock now, none of them with a connection. The one whose turn it is,
    /// which holds the lock or waits for it on the server, doesn't count.
    #[must_use]
    pub fn waiting(&self, name: &LockName) -> usize {
        self.0.queue.waiting(name)
    }

    /// The same for all locks together. A thread that queues for one of several locks counts for this one.
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
    /// Waits for the lock for at most `timeout`, then runs `work` on a connection of the pool whose session holds it.
    ///
    /// As [`NamedLockExt::with_named_lock`](crate::NamedLockExt::with_named_lock), which see for `name` and for the types.
    /// For a section inside the section, use the connection that `work` gets.
    ///
    /// # Errors
    ///
    /// What `work` returns as `Err`; otherwise any [`NamedLockError`], by `E::from`.
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

    /// Runs `work` if the lock is free at once; `Ok(None)` where another thread or another session holds it.
    ///
    /// For a connection it waits as `pool.get()` does.
    ///
    /// ```no_run
    /// # use diesel::{MysqlConnection, r2d2::ConnectionManager};
    /// # use diesel_named_lock::{NamedLockError, pool::NamedLockPool};
    /// # fn clean_up(_: &mut MysqlConnection) -> Result<u32, NamedLockError> { Ok(0) }
    /// # fn run(locks: &NamedLockPool<ConnectionManager<MysqlConnection>>) -> Result<(), NamedLockError> {
    /// match locks.try_with_named_lock("clean-up", |conn| clean_up(conn))? {
    ///     Some(removed) => println!("{removed} removed"),
    ///     None => println!("somebody else is at it"),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`with_named_lock`](Self::with_named_lock); [`NamedLockError::NoConnection`] if the pool had no connection.
    pub fn try_with_named_lock<T, E, F>(
        &self,
        name: impl TryInto<LockName, Error: Into<NamedLockError>>,
        work: F,
    ) -> Result<Option<T>, E>
    where
        E: From<NamedLockError>,
        F: FnOnce(&mut PooledConnection<M>) -> Result<T, E>,
    {
        let lock = NamedLock::new(name)?.no_wait();
        match PooledSection::new(self, &lock)?.run(work, Result::is_ok) {
            Ok(section) => section.into_result().map(Some),
            Err(NamedLockError::Timeout { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Acquires the lock, begins a transaction, calls `work`, commits, and only then releases the lock or hands it off: see
    /// [`NamedLock::run_transaction`].
    ///
    /// # Errors
    ///
    /// As for [`with_named_lock`](Self::with_named_lock), and Diesel's own errors from `BEGIN` and `COMMIT`.
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

    /// Runs a section that was described before, as [`NamedLock::run`] does, on a connection of the pool, and without one while
    /// it queues.
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
    /// Returns what `work` returns as `Err`; otherwise any [`NamedLockError`], by `E::from`.
    pub fn run<T, E, F>(&self, lock: &NamedLock, work: F) -> Result<T, E>
    where
        E: From<NamedLockError>,
        F: FnOnce(&mut PooledConnection<M>) -> Result<T, E>,
    {
        PooledSection::new(self, lock)?.run(work, Result::is_ok)?.into_result()
    }

    /// Like [`run`](Self::run), with `work` inside a transaction: see [`NamedLock::run_transaction`].
    ///
    /// # Errors
    ///
    /// As for [`run`](Self::run), and Diesel's own errors from `BEGIN` and `COMMIT`.
    pub fn run_transaction<T, E, F>(&self, lock: &NamedLock, work: F) -> Result<T, E>
    where
        E: From<NamedLockError> + From<diesel::result::Error>,
        F: FnOnce(&mut PooledConnection<M>) -> Result<T, E>,
    {
        self.run(lock, |conn| transaction(conn, work))
    }

    /// Like [`run`](Self::run), for work that returns anything: see [`NamedLock::section`].
    ///
    /// # Errors
    ///
    /// Returns an error only if `work` has not run. What went wrong later is in [`Section::error`].
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
