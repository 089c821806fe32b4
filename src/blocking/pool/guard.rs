//! The guard of a pool: a value that holds a lock and owns a connection of the pool.

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

/// A guard that holds a named lock and owns a connection of the pool.
///
/// Returned by [`NamedLockPool::acquire`]. It is like [`NamedLockGuard`](crate::NamedLockGuard), which says what happens when it is dropped,
/// and what it does not promise. But when it is released, it hands off the lock to the next thread in the queue, as a section does, if the
/// pool's [limits](super::NamedLockPoolBuilder::max_hand_off_time) allow it.
#[must_use = "the lock is released when the guard is dropped"]
pub struct PooledGuard<M>
where
    M: ManageConnection,
    PooledConnection<M>: NamedLockConnection,
{
    /// `None` once it is released.
    entered: Option<Entered<M>>,
    locks: NamedLockPool<M>,
    lock: NamedLock,
}

impl<M> NamedLockPool<M>
where
    M: ManageConnection,
    PooledConnection<M>: NamedLockConnection,
{
    /// Acquires the lock and returns a guard that owns a connection of the pool.
    ///
    /// Use it if the lock outlives a function, or moves to another thread. Otherwise prefer [`run`](Self::run). The lock's timeout covers the
    /// queue, the checkout and the server.
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
    /// A guard may move to another thread, so the queue does not know which thread owns it:
    ///
    /// * A thread that owns a guard and asks for the same lock waits until its timeout, and does not get
    ///   [`AlreadyHeld`](NamedLockError::AlreadyHeld).
    /// * Threads with guards that wait for each other in a circle wait until their timeouts, and do not get
    ///   [`Deadlock`](NamedLockError::Deadlock). Acquire locks together, with [`NamedLock::all_of`].
    ///
    /// # Errors
    ///
    /// Returns any [`NamedLockError`] for which [`work_ran`](NamedLockError::work_ran) is `false`. Nothing is held.
    pub fn acquire(&self, lock: &NamedLock) -> Result<PooledGuard<M>, NamedLockError> {
        let mut entered = PooledSection::new(self, lock)?.enter()?;
        // A section that waits for a proof must not wait for as long as the guard lives.
        entered.prove();
        entered.detach();
        Ok(PooledGuard { entered: Some(entered), locks: self.clone(), lock: lock.clone() })
    }
}

impl<M> PooledGuard<M>
where
    M: ManageConnection,
    PooledConnection<M>: NamedLockConnection,
{
    /// Rolls back what is open, and releases the lock, confirmed by the server. Or hands off the lock to the next thread in the queue, together
    /// with the connection.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`NamedLockGuard::release`](crate::NamedLockGuard::release).
    pub fn release(mut self) -> Result<(), NamedLockError> {
        self.leave().map_or(Ok(()), Err)
    }

    /// Runs `work` inside a transaction: see [`NamedLockGuard::transaction`](crate::NamedLockGuard::transaction).
    ///
    /// # Errors
    ///
    /// Returns the error of `work`, and Diesel's own errors from `BEGIN`, `COMMIT` and `ROLLBACK`.
    pub fn transaction<T, E, F>(&mut self, work: F) -> Result<T, E>
    where
        E: From<diesel::result::Error>,
        F: FnOnce(&mut PooledConnection<M>) -> Result<T, E>,
    {
        transaction(&mut **self, work)
    }

    /// Asks the server whether the session holds the lock at this moment; of several, all of them. One round trip.
    ///
    /// # Errors
    ///
    /// Returns [`NamedLockError::Database`] if the server does not answer. Then the lock is probably lost.
    pub fn still_holds(&mut self) -> Result<bool, NamedLockError> {
        self.entered_mut().begun.still_holds()
    }

    /// Moves the connection to a new thread, which pings it: see
    /// [`NamedLockGuard::keep_alive`](crate::NamedLockGuard::keep_alive).
    ///
    /// # Errors
    ///
    /// Returns [`KeepAliveError`], which has the guard, if `interval` is zero or not less than the session's `wait_timeout`, or if the
    /// server does not answer the question for it.
    ///
    /// # Panics
    ///
    /// Panics if the operating system can't start a thread. The lock is released.
    pub fn keep_alive(self, interval: Duration) -> Result<WatchedGuard<Self>, KeepAliveError<Self>> {
        let shown = (self.entered().begun.locks().clone(), self.connection_id());
        watched::keep_alive(self, interval, shown, Self::still_holds)
    }

    /// Returns the names, each once, in the order in which they were acquired.
    #[must_use]
    pub fn names(&self) -> &[LockName] {
        self.entered().begun.locks().as_slice()
    }

    /// Returns the id of the session that acquired the lock.
    #[must_use]
    pub fn connection_id(&self) -> ConnectionId {
        self.entered().begun.session()
    }

    fn leave(&mut self) -> Option<NamedLockError> {
        let entered = self.entered.take().expect(NOT_RELEASED);
        entered.leave(&self.locks.0.options, self.lock.names(), (), false).error
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
        if thread::panicking() {
            self.entered.take().into_iter().for_each(Entered::end_after_panic);
        } else if self.entered.is_some() {
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
