//! A lock of a pool that is held for as long as a value lives.

use std::{
    fmt,
    ops::{Deref, DerefMut},
    thread,
    time::Duration,
};

use diesel::r2d2::{ManageConnection, PooledConnection};

use super::{NamedLockPool, hand_off::Entered, section::PooledSection};
use crate::{
    blocking::{
        transaction::transaction,
        watched::{self, WatchedGuard},
    },
    connection_id::ConnectionId,
    driver::status::NamedLockConnection,
    error::NamedLockError,
    keep_alive_error::KeepAliveError,
    lock::NamedLock,
    name::LockName,
};

/// A named lock that is held, with the connection of the pool that it is held on.
///
/// Returned by [`NamedLockPool::acquire`]. As [`NamedLockGuard`](crate::NamedLockGuard), which see for what it promises when it
/// is dropped and what it does not promise; but released, it hands the lock to the next thread in the queue, if the pool's
/// [limits](super::NamedLockPoolBuilder::max_hand_off_time) allow it, as a section does.
#[must_use = "the lock is released when the guard is dropped"]
pub struct PooledGuard<M>
where
    M: ManageConnection,
    PooledConnection<M>: NamedLockConnection,
{
    /// Until it is released.
    entered: Option<Entered<M>>,
    locks: NamedLockPool<M>,
    lock: NamedLock,
}

impl<M> NamedLockPool<M>
where
    M: ManageConnection,
    PooledConnection<M>: NamedLockConnection,
{
    /// Waits for the lock, then returns it with a connection of the pool, for a lock that outlives a function or moves to another
    /// thread.
    ///
    /// The lock's timeout covers the queue, the checkout and the server. In all other cases, prefer [`run`](Self::run).
    ///
    /// ```no_run
    /// # use diesel::{MysqlConnection, prelude::*, r2d2::ConnectionManager};
    /// # use diesel_named_lock::{NamedLock, NamedLockError, pool::NamedLockPool};
    /// # fn import(locks: &NamedLockPool<ConnectionManager<MysqlConnection>>) -> Result<(), NamedLockError> {
    /// let mut guard = locks.acquire(&NamedLock::new("import")?)?;
    /// diesel::sql_query("UPDATE imports SET running = 1").execute(&mut *guard)?;
    /// guard.release()
    /// # }
    /// ```
    ///
    /// # What it does not promise
    ///
    /// A guard may move to another thread, so the queue does not know which thread has it:
    ///
    /// * A thread that has a guard and waits for the same lock is not told [`AlreadyHeld`](NamedLockError::AlreadyHeld). It
    ///   waits for its timeout.
    /// * Threads with guards that wait for each other in a circle are not told [`Deadlock`](NamedLockError::Deadlock). They wait
    ///   for their timeouts. Acquire locks together, with [`NamedLock::all_of`].
    ///
    /// # Errors
    ///
    /// Returns any [`NamedLockError`] for which [`work_ran`](NamedLockError::work_ran) is `false`. Nothing is held.
    pub fn acquire(&self, lock: &NamedLock) -> Result<PooledGuard<M>, NamedLockError> {
        let entered = PooledSection::new(self, lock)?.enter()?;
        entered.detach();
        Ok(PooledGuard { entered: Some(entered), locks: self.clone(), lock: lock.clone() })
    }
}

impl<M> PooledGuard<M>
where
    M: ManageConnection,
    PooledConnection<M>: NamedLockConnection,
{
    /// Rolls back what is open, and releases the lock, confirmed by the server, or hands it to the next thread in the queue. The
    /// connection goes back to the pool, or with the lock.
    ///
    /// # Errors
    ///
    /// Returns what was lost, as [`NamedLockGuard::release`](crate::NamedLockGuard::release) does.
    pub fn release(mut self) -> Result<(), NamedLockError> {
        self.leave().map_or(Ok(()), Err)
    }

    /// Runs `work` inside a transaction: see [`NamedLockGuard::transaction`](crate::NamedLockGuard::transaction).
    ///
    /// # Errors
    ///
    /// Returns what `work` returns as `Err`, and Diesel's own errors from `BEGIN`, `COMMIT` and `ROLLBACK`.
    pub fn transaction<T, E, F>(&mut self, work: F) -> Result<T, E>
    where
        E: From<diesel::result::Error>,
        F: FnOnce(&mut PooledConnection<M>) -> Result<T, E>,
    {
        transaction(&mut **self, work)
    }

    /// Whether the session holds the lock at this moment: of several, each. One round trip for each lock.
    ///
    /// # Errors
    ///
    /// Returns [`NamedLockError::Database`] if the server does not answer. Then the lock is probably lost.
    pub fn still_holds(&mut self) -> Result<bool, NamedLockError> {
        self.entered_mut().begun.still_holds()
    }

    /// Moves the connection into a thread of its own, which pings it: see
    /// [`NamedLockGuard::keep_alive`](crate::NamedLockGuard::keep_alive).
    ///
    /// # Errors
    ///
    /// Returns the guard with the reason if `interval` is zero, or is not less than the session's `wait_timeout`; also if the server
    /// does not tell that one.
    ///
    /// # Panics
    ///
    /// Panics if the operating system has no thread to give. The lock is released.
    pub fn keep_alive(self, interval: Duration) -> Result<WatchedGuard<Self>, KeepAliveError<Self>> {
        let shown = (self.lock.locks().clone(), self.connection_id());
        watched::keep_alive(self, interval, shown, Self::still_holds)
    }

    /// The names, each once, in the order in which they were acquired.
    #[must_use]
    pub fn names(&self) -> &[LockName] {
        self.lock.names()
    }

    /// The session that has acquired the lock.
    #[must_use]
    pub fn connection_id(&self) -> ConnectionId {
        self.entered().begun.session()
    }

    fn leave(&mut self) -> Option<NamedLockError> {
        let entered = self.entered.take().expect(NOT_RELEASED);
        entered.leave(&self.locks.0.options.hand_offs, self.lock.names(), (), false).error
    }

    fn entered(&self) -> &Entered<M> {
        self.entered.as_ref().expect(NOT_RELEASED)
    }

    fn entered_mut(&mut self) -> &mut Entered<M> {
        self.entered.as_mut().expect(NOT_RELEASED)
    }
}

const NOT_RELEASED: &str = "a guard holds its lock until it is released";

impl<M> Deref for PooledGuard<M>
where
    M: ManageConnection,
    PooledConnection<M>: NamedLockConnection,
{
    type Target = PooledConnection<M>;

    fn deref(&self) -> &PooledConnection<M> {
        self.entered().begun.conn_ref()
    }
}

impl<M> DerefMut for PooledGuard<M>
where
    M: ManageConnection,
    PooledConnection<M>: NamedLockConnection,
{
    fn deref_mut(&mut self) -> &mut PooledConnection<M> {
        self.entered_mut().begun.conn()
    }
}

impl<M> Drop for PooledGuard<M>
where
    M: ManageConnection,
    PooledConnection<M>: NamedLockConnection,
{
    fn drop(&mut self) {
        // In a panic, what is inside releases when it is dropped, and never panics again.
        if self.entered.is_some() && !thread::panicking() {
            let _ = self.leave();
        }
    }
}

impl<M> fmt::Debug for PooledGuard<M>
where
    M: ManageConnection,
    PooledConnection<M>: NamedLockConnection,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (names, connection_id) = (self.names(), self.connection_id());
        f.debug_struct("PooledGuard")
            .field("names", &names)
            .field("connection_id", &connection_id)
            .finish_non_exhaustive()
    }
}
