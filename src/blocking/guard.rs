//! The guard: a value that holds a lock and owns the connection.

use std::{
    fmt,
    ops::{Deref, DerefMut},
    thread,
    time::Duration,
};

#[cfg(feature = "quorum")]
use crate::statement::session_timeouts::Timeouts;
use crate::{
    blocking::{
        section::{self, Begun},
        transaction::transaction,
        watched::{self, WatchedGuard},
    },
    connection_id::ConnectionId,
    driver::status::NamedLockConnection,
    error::NamedLockError,
    guard_error::GuardError,
    keep_alive_error::KeepAliveError,
    lock::NamedLock,
    name::LockName,
    owned::Owned,
};

/// A guard that holds a named lock and owns the connection.
///
/// Returned by [`NamedLock::acquire`]. It dereferences to the connection, so that all of Diesel can be used on it, and also
/// sections over other locks ([`with_named_lock`](crate::NamedLockExt::with_named_lock)). It may move between threads.
///
/// # When it is dropped
///
/// The same happens as in [`release`](Self::release), even if a panic drops it. Errors, which nobody can receive then, are logged at
/// `warn`, with the lock and the connection. Then the connection is dropped, too, so that it returns to its pool.
///
/// # What it does not promise
///
/// [The limits of every section](NamedLock::run) apply, and:
///
/// * A guard does not notice by itself that its lock was lost: ask [`still_holds`](Self::still_holds), or use
///   [`keep_alive`](Self::keep_alive). `release` reports the loss.
/// * A guard that is never dropped never releases: in `mem::forget`, in a `static`, at `process::exit`. Its connection
///   returns to no pool, so no pool gets a connection with the lock. The lock is free when the process has ended.
/// * A panic of the application's own hook (Diesel's `Instrumentation`) during the release leaves `drop` as a panic. Before that, the
///   lock is released or its session killed.
#[must_use = "the lock is released when the guard is dropped"]
pub struct NamedLockGuard<C: NamedLockConnection> {
    /// `None` once it is released.
    begun: Option<Begun<Owned<C>>>,
}

impl NamedLock {
    /// Acquires the lock and returns a guard that owns the connection: plain, pooled by r2d2, or of a manager of your own.
    ///
    /// Use it if the lock outlives a function, or moves to another thread. Otherwise prefer [`run`](Self::run): the end of a closure
    /// can't be missed. If connections of the pool are scarce, use
    /// [`NamedLockPool::acquire`](crate::pool::NamedLockPool::acquire).
    ///
    /// ```no_run
    /// use diesel::{MysqlConnection, prelude::*, r2d2::{ConnectionManager, Pool}};
    /// use diesel_named_lock::NamedLock;
    ///
    /// fn import(pool: &Pool<ConnectionManager<MysqlConnection>>) -> Result<(), Box<dyn std::error::Error>> {
    ///     let lock = NamedLock::new("import")?;
    ///     let mut guard = lock.acquire(pool.get()?)?;
    ///     diesel::sql_query("UPDATE imports SET running = 1").execute(&mut *guard)?;
    ///     let conn = guard.release()?;
    ///     drop(conn); // Returns to the pool.
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`GuardError`], which has the connection and any [`NamedLockError`] for which
    /// [`work_ran`](NamedLockError::work_ran) is `false`. Nothing is held.
    pub fn acquire<C: NamedLockConnection>(&self, conn: C) -> Result<NamedLockGuard<C>, GuardError<C>> {
        self.acquire_unexplained(conn).map_err(|GuardError { mut conn, error }| {
            let error = section::with_holder(error, &mut conn);
            GuardError { conn, error }
        })
    }

    /// The same, but a timeout does not say who holds the lock.
    pub(crate) fn acquire_unexplained<C: NamedLockConnection>(
        &self,
        conn: C,
    ) -> Result<NamedLockGuard<C>, GuardError<C>> {
        let request = match self.request() {
            Ok(request) => request,
            Err(error) => return Err(GuardError { conn, error }),
        };
        match section::begin(Owned(conn), self.locks().clone(), request) {
            Ok(begun) => Ok(NamedLockGuard { begun: Some(begun) }),
            Err((Owned(conn), error)) => Err(GuardError { conn, error }),
        }
    }
}

impl<C: NamedLockConnection> NamedLockGuard<C> {
    /// Rolls back what is open, releases the lock, waits for the server's confirmation, and returns the connection.
    ///
    /// # Errors
    ///
    /// Returns [`GuardError`], which has the connection and:
    ///
    /// * [`Lost`](NamedLockError::Lost) or [`ConnectionSwapped`](NamedLockError::ConnectionSwapped) if the lock was not held to
    ///   the end. The session was killed, or holds nothing.
    /// * [`TransactionLeftOpen`](NamedLockError::TransactionLeftOpen) if a transaction was open. It was rolled back. The lock
    ///   was held to the end.
    pub fn release(mut self) -> Result<C, GuardError<C>> {
        let (Owned(conn), section) = self.begun.take().expect(NOT_RELEASED).finish(());
        match section.error {
            None => Ok(conn),
            Some(error) => Err(GuardError { conn, error }),
        }
    }

    /// Runs `work` inside a transaction, as Diesel's `transaction` does.
    ///
    /// In addition, a `ROLLBACK` that `KILL QUERY` has struck is sent again, as in
    /// [`run_transaction`](NamedLock::run_transaction).
    ///
    /// # Errors
    ///
    /// Returns the error of `work`, and Diesel's own errors from `BEGIN`, `COMMIT` and `ROLLBACK`.
    pub fn transaction<T, E, F>(&mut self, work: F) -> Result<T, E>
    where
        E: From<diesel::result::Error>,
        F: FnOnce(&mut C) -> Result<T, E>,
    {
        transaction(self.begun_mut().conn(), work)
    }

    /// Asks the server whether the session holds the lock at this moment; of several, all of them. One round trip.
    ///
    /// The lock may be lost right after the answer.
    ///
    /// # Errors
    ///
    /// Returns [`NamedLockError::Database`] if the server does not answer. Then the lock is probably lost.
    pub fn still_holds(&mut self) -> Result<bool, NamedLockError> {
        self.begun_mut().still_holds()
    }

    /// Moves the connection to a new thread, which pings it at once and then every `interval`. That keeps the session from being idle for
    /// too long, and notices the loss of the lock.
    ///
    /// A third of the time that the session may be idle leaves room for a late ping. An interval above zero and below a millisecond counts as
    /// one millisecond. Costs one round trip, which asks for the session's `wait_timeout`.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # use diesel::MysqlConnection;
    /// # use diesel_named_lock::NamedLock;
    /// # fn copy_one_file() -> bool { true }
    /// # fn run(conn: MysqlConnection) -> Result<(), Box<dyn std::error::Error>> {
    /// let lock = NamedLock::new("backup")?.idle_limit(Duration::from_secs(30));
    /// let watched = lock.acquire(conn)?.keep_alive(Duration::from_secs(10))?;
    /// while !watched.is_lost() && copy_one_file() {}
    /// watched.into_guard().release()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`KeepAliveError`], which has the guard, if `interval` is zero or not less than the session's `wait_timeout`, or if the
    /// server does not answer the question for it.
    ///
    /// # Panics
    ///
    /// Panics if the operating system can't start a thread. The lock is released.
    pub fn keep_alive(self, interval: Duration) -> Result<WatchedGuard<Self>, KeepAliveError<Self>>
    where
        C: Send + 'static,
    {
        let shown = (self.begun().locks().clone(), self.connection_id());
        watched::keep_alive(self, interval, shown, Self::still_holds)
    }

    /// Returns the names, each once, in the order in which they were acquired.
    #[must_use]
    pub fn names(&self) -> &[LockName] {
        self.begun().locks().as_slice()
    }

    /// Returns the id of the session that acquired the lock.
    #[must_use]
    pub fn connection_id(&self) -> ConnectionId {
        self.begun().session()
    }

    /// Like [`release`](Self::release), but errors are not logged.
    #[cfg(feature = "quorum")]
    pub(crate) fn release_quietly(mut self) -> Result<C, GuardError<C>> {
        let (Owned(conn), _, section) = self.begun.take().expect(NOT_RELEASED).finish_quietly(());
        match section.error {
            None => Ok(conn),
            Some(error) => Err(GuardError { conn, error }),
        }
    }

    /// The session had these timeouts before. They are restored after the release.
    #[cfg(feature = "quorum")]
    pub(crate) fn restore_later(&mut self, before: Timeouts) {
        self.begun_mut().restore_later(before);
    }

    /// What a release would return now, as far as Diesel knows of a transaction.
    #[cfg(feature = "quorum")]
    pub(crate) fn transaction_left_open(&mut self) -> Option<NamedLockError> {
        let depth = self.begun_mut().depth();
        let name = self.names()[0].clone();
        (!matches!(depth, Ok(0))).then(|| NamedLockError::TransactionLeftOpen { name, depth: depth.ok() })
    }

    fn begun(&self) -> &Begun<Owned<C>> {
        self.begun.as_ref().expect(NOT_RELEASED)
    }

    fn begun_mut(&mut self) -> &mut Begun<Owned<C>> {
        self.begun.as_mut().expect(NOT_RELEASED)
    }
}

const NOT_RELEASED: &str = "a guard holds its lock until it is released";

impl<C: NamedLockConnection> Deref for NamedLockGuard<C> {
    type Target = C;

    fn deref(&self) -> &C {
        self.begun().conn_ref()
    }
}

impl<C: NamedLockConnection> DerefMut for NamedLockGuard<C> {
    fn deref_mut(&mut self) -> &mut C {
        self.begun_mut().conn()
    }
}

impl<C: NamedLockConnection> Drop for NamedLockGuard<C> {
    fn drop(&mut self) {
        let Some(begun) = self.begun.take() else { return };
        // During a panic, `begun` releases when it is dropped, and never panics again.
        if !thread::panicking() {
            let _ = begun.finish(());
        }
    }
}

impl<C: NamedLockConnection> fmt::Debug for NamedLockGuard<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (names, connection_id) = (self.names(), self.connection_id());
        f.debug_struct("NamedLockGuard")
            .field("names", &names)
            .field("connection_id", &connection_id)
            .finish_non_exhaustive()
    }
}
