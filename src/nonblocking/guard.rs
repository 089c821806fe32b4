//! The async guard: a value that holds a lock and owns the connection.

use std::{
    fmt,
    ops::{Deref, DerefMut},
    time::Duration,
};

use diesel::result::QueryResult;

use super::{
    NamedLock, OwnedConnection,
    section::{self, Begun, Finished},
    transaction::transaction,
    watched::{self, Watchable, WatchedGuard},
    work::AsyncWork,
};
use crate::{
    connection_id::ConnectionId, error::NamedLockError, guard_error::GuardError, keep_alive_error::KeepAliveError,
    name::LockName, names::Names, owned::Owned,
};

/// A guard that holds a named lock and owns the connection.
///
/// Returned by [`NamedLock::acquire`]. It dereferences to the connection, so that all of Diesel can be used on it, and also
/// sections over other locks ([`with_named_lock`](super::NamedLockExt::with_named_lock)). It may move between tasks.
///
/// # When it is dropped
///
/// Its connection is closed, because a release can't be awaited in `drop`. So await [`release`](Self::release). When the server notices that
/// the connection is closed, it rolls back and frees the lock: within milliseconds, or after the statement that runs. A pool opens another
/// connection.
///
/// # What it does not promise
///
/// [The limits of every section](crate::NamedLock::run) apply, and:
///
/// * A guard does not notice by itself that its lock was lost: ask [`still_holds`](Self::still_holds), or use
///   [`keep_alive`](Self::keep_alive). `release` reports the loss.
/// * A guard that is never dropped never releases: in `mem::forget`, in a `static`, at `process::exit`. Its connection
///   returns to no pool, so no pool gets a connection with the lock. The lock is free when the process has ended.
#[must_use = "the lock is released when the guard is dropped, and the connection is closed"]
pub struct NamedLockGuard<C: OwnedConnection>(Begun<Owned<C>>);

impl NamedLock {
    /// Acquires the lock and returns a guard that owns the connection: plain, from bb8's `get_owned()`, or from deadpool.
    ///
    /// Use it if the lock outlives a function, or moves to another task. Otherwise prefer [`run`](Self::run): the end of a closure can't be
    /// missed.
    ///
    /// ```no_run
    /// use diesel_async::{AsyncConnection, AsyncMysqlConnection, RunQueryDsl};
    /// use diesel_named_lock::nonblocking::NamedLock;
    ///
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let conn = AsyncMysqlConnection::establish("mysql://app@127.0.0.1/shop").await?;
    /// let mut guard = NamedLock::new("import")?.acquire(conn).await?;
    /// diesel::sql_query("UPDATE imports SET running = 1").execute(&mut *guard).await?;
    /// let conn = guard.release().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// If the future is dropped, the connection is closed. The server notices within a second, and no longer waits for the lock.
    ///
    /// # Errors
    ///
    /// Returns [`GuardError`], which has the connection and any [`NamedLockError`] for which
    /// [`work_ran`](NamedLockError::work_ran) is `false`. Nothing is held.
    pub fn acquire<C: OwnedConnection>(
        &self,
        conn: C,
    ) -> impl Future<Output = Result<NamedLockGuard<C>, GuardError<C>>> + Send + use<C> {
        let request = self.clone().into_request();
        async move {
            let (names, request) = match request {
                Ok(request) => request,
                Err(error) => return Err(GuardError { conn, error }),
            };
            match section::begin(Owned(conn), names, request).await {
                Ok(begun) => Ok(NamedLockGuard(begun)),
                Err(not_begun) => {
                    let (Owned(conn), error) = not_begun.with_holder().await.into_parts();
                    Err(GuardError { conn, error })
                }
            }
        }
    }
}

impl<C: OwnedConnection> NamedLockGuard<C> {
    /// Rolls back what is open, releases the lock, awaits the server's confirmation, and returns the connection.
    ///
    /// # Errors
    ///
    /// Returns [`GuardError`], which has the connection and:
    ///
    /// * [`Lost`](NamedLockError::Lost) or [`ConnectionSwapped`](NamedLockError::ConnectionSwapped) if the lock was not held to
    ///   the end. The session was killed, or holds nothing.
    /// * [`TransactionLeftOpen`](NamedLockError::TransactionLeftOpen) if a transaction was open. It was rolled back. The lock
    ///   was held to the end.
    pub async fn release(self) -> Result<C, GuardError<C>> {
        let Finished { conn: Owned(conn), section, .. } = self.0.finish(()).await;
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
    pub fn transaction<'a, 'c, T, E, F>(&'c mut self, work: F) -> impl Future<Output = Result<T, E>> + Send
    where
        T: Send + 'a,
        E: From<diesel::result::Error> + Send + 'a,
        for<'r> F:
            AsyncFnOnce(&'r mut C) -> Result<T, E> + AsyncWork<&'r mut C, Result<T, E>, Future: Send> + Send + 'a,
        'a: 'c,
    {
        transaction(self.0.conn(), work)
    }

    /// Asks the server whether the session holds the lock at this moment; of several, all of them. One round trip.
    ///
    /// The lock may be lost right after the answer.
    ///
    /// # Errors
    ///
    /// Returns [`NamedLockError::Database`] if the server does not answer. Then the lock is probably lost.
    pub fn still_holds(&mut self) -> impl Future<Output = Result<bool, NamedLockError>> + Send {
        self.0.still_holds()
    }

    /// Moves the connection to a new task, which pings it at once and then every `interval`. That keeps the session from being idle for too
    /// long, and notices the loss of the lock.
    ///
    /// A third of the time that the session may be idle leaves room for a late ping. An interval above zero and below a millisecond counts as
    /// one millisecond. Costs one round trip, which asks for the session's `wait_timeout`.
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
        self.0.locks().as_slice()
    }

    /// Returns the id of the session that acquired the lock.
    #[must_use]
    pub fn connection_id(&self) -> ConnectionId {
        self.0.session()
    }
}

impl<C: OwnedConnection> Watchable for NamedLockGuard<C> {
    fn watched_locks(&self) -> (Names, ConnectionId) {
        (self.0.locks().clone(), self.0.session())
    }

    async fn longest_idle_time(&mut self) -> QueryResult<Duration> {
        self.0.longest_idle_time().await
    }

    async fn still_holds(&mut self) -> Result<bool, NamedLockError> {
        self.0.still_holds().await
    }

    async fn kill(&mut self) {
        self.0.kill().await;
    }
}

impl<C: OwnedConnection> Deref for NamedLockGuard<C> {
    type Target = C;

    fn deref(&self) -> &C {
        self.0.conn_ref()
    }
}

impl<C: OwnedConnection> DerefMut for NamedLockGuard<C> {
    fn deref_mut(&mut self) -> &mut C {
        self.0.conn()
    }
}

impl<C: OwnedConnection> fmt::Debug for NamedLockGuard<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (names, connection_id) = (self.names(), self.connection_id());
        f.debug_struct("NamedLockGuard")
            .field("names", &names)
            .field("connection_id", &connection_id)
            .finish_non_exhaustive()
    }
}
