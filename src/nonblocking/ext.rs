//! The extension trait of async connections.

use std::time::{Duration, Instant};

use super::{
    NamedLock, NamedLockConnection, keep_alive,
    unfinished::{finished, unfinished},
    work::AsyncWork,
};
use crate::{
    driver::nonblocking::Nonblocking, error::NamedLockError, name::LockName, section::ask::holds_lock, watch::Watch,
};

/// Sections on every connection of `diesel-async` to MySQL or MariaDB: plain, pooled by bb8 or deadpool, or of a manager of your own.
///
/// The methods are those of the blocking [`NamedLockExt`](crate::NamedLockExt), with async closures. The closure gets the same
/// connection. The futures are `Send` and may be dropped at any moment: see [Cancellation](super#cancellation).
pub trait NamedLockExt: NamedLockConnection {
    /// Acquires the named lock, runs `work` on this connection, releases the lock, and returns what `work` returned.
    ///
    /// Waits for the lock for at most `timeout`, which means the same on both servers, also below a second. Zero asks once. `name` is a
    /// `&str`, `String`, [`LockName`] or `&LockName`.
    ///
    /// ```no_run
    /// # use std::time::{Duration, Instant};
    /// # use diesel::QueryResult;
    /// # use diesel_async::{AsyncMysqlConnection, RunQueryDsl};
    /// # use diesel_named_lock::nonblocking::NamedLockExt;
    /// // With Diesel's own error type, which carries this crate's errors inside.
    /// async fn next_number(conn: &mut AsyncMysqlConnection) -> QueryResult<()> {
    ///     conn.with_named_lock("shop:invoice-number", Duration::from_secs(5), async |conn| {
    ///         diesel::sql_query("UPDATE numbers SET invoice = invoice + 1").execute(conn).await?;
    ///         Ok(())
    ///     })
    ///     .await
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns the error of `work`. Otherwise returns any [`NamedLockError`], converted by `E::from`.
    fn with_named_lock<'a, 'c, T, E, F>(
        &'c mut self,
        name: impl TryInto<LockName, Error: Into<NamedLockError>>,
        timeout: Duration,
        work: F,
    ) -> impl Future<Output = Result<T, E>> + Send
    where
        T: Send + 'a,
        E: From<NamedLockError> + Send + 'a,
        for<'r> F:
            AsyncFnOnce(&'r mut Self) -> Result<T, E> + AsyncWork<&'r mut Self, Result<T, E>, Future: Send> + Send + 'a,
        'a: 'c,
    {
        let lock = NamedLock::new(name).map(|lock| lock.timeout(timeout));
        async move { lock?.run(self, work).await }
    }

    /// Runs `work` if the named lock is free. Does not wait: returns `Ok(None)` if another session holds it.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`with_named_lock`](Self::with_named_lock), except [`NamedLockError::Timeout`].
    fn try_with_named_lock<'a, 'c, T, E, F>(
        &'c mut self,
        name: impl TryInto<LockName, Error: Into<NamedLockError>>,
        work: F,
    ) -> impl Future<Output = Result<Option<T>, E>> + Send
    where
        T: Send + 'a,
        E: From<NamedLockError> + Send + 'a,
        for<'r> F:
            AsyncFnOnce(&'r mut Self) -> Result<T, E> + AsyncWork<&'r mut Self, Result<T, E>, Future: Send> + Send + 'a,
        'a: 'c,
    {
        let lock = NamedLock::new(name);
        async move { lock?.try_run(self, work).await }
    }

    /// Acquires the lock, begins a transaction, runs `work`, commits, and releases the lock, in this order.
    ///
    /// [`NamedLock::run_transaction`](crate::NamedLock::run_transaction) says why the order matters.
    ///
    /// The transaction takes two round trips more, `BEGIN` and `COMMIT`.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`with_named_lock`](Self::with_named_lock), and Diesel's own errors from `BEGIN` and `COMMIT`.
    fn with_named_lock_transaction<'a, 'c, T, E, F>(
        &'c mut self,
        name: impl TryInto<LockName, Error: Into<NamedLockError>>,
        timeout: Duration,
        work: F,
    ) -> impl Future<Output = Result<T, E>> + Send
    where
        T: Send + 'a,
        E: From<NamedLockError> + From<diesel::result::Error> + Send + 'a,
        for<'r> F:
            AsyncFnOnce(&'r mut Self) -> Result<T, E> + AsyncWork<&'r mut Self, Result<T, E>, Future: Send> + Send + 'a,
        'a: 'c,
    {
        let lock = NamedLock::new(name).map(|lock| lock.timeout(timeout));
        async move { lock?.run_transaction(self, work).await }
    }

    /// Runs `compute` and pings the session in the same task, and returns what `compute` returns. For use inside the closure of a section.
    ///
    /// Pings the session at once and then every `interval`, with one round trip each. An interval below a millisecond counts as one
    /// millisecond. `compute` must be async. What computes without awaiting belongs in `spawn_blocking`. If the session does not answer,
    /// [`Watch::is_lost`] is true from then on, and the section returns [`Lost`](NamedLockError::Lost).
    ///
    /// ```no_run
    /// # use std::time::{Duration, Instant};
    /// # use diesel_async::AsyncMysqlConnection;
    /// # use diesel_named_lock::{NamedLockError, nonblocking::NamedLockExt};
    /// # async fn upload(page: u32) {}
    /// # async fn run(conn: &mut AsyncMysqlConnection) -> Result<(), NamedLockError> {
    /// conn.with_named_lock("site", Duration::from_secs(5), async |conn| {
    ///     conn.keep_alive_while(Duration::from_secs(60), async |watch| {
    ///         for page in (0..100_000).take_while(|_| !watch.is_lost()) {
    ///             upload(page).await;
    ///         }
    ///     })
    ///     .await;
    ///     Ok(())
    /// })
    /// .await
    /// # }
    /// ```
    ///
    /// # What it does not promise
    ///
    /// On a network that goes silent, a ping fails only after 10 seconds. [`Watch::silent_for`] says how long there was no answer.
    ///
    /// # Panics
    ///
    /// Panics if `compute` panics, after the ping that is under way.
    fn keep_alive_while<'a, 'c, T, F>(&'c mut self, interval: Duration, compute: F) -> impl Future<Output = T> + Send
    where
        T: Send + 'a,
        for<'r> F: AsyncFnOnce(&'r Watch) -> T + AsyncWork<&'r Watch, T, Future: Send> + Send + 'a,
        'a: 'c,
    {
        async move {
            let watch = Watch::new(Instant::now(), Duration::MAX, "connection of a computation".to_owned());
            keep_alive::keep_alive_while(self, interval, &watch, compute(&watch)).await
        }
    }

    /// Asks the server whether this session holds the named lock at this moment. One round trip.
    ///
    /// Use it in the closure of a section, before a step that can't be undone. It narrows the window, and does not close it: the session may be killed right after the answer.
    ///
    /// # Errors
    ///
    /// Returns [`NamedLockError::InvalidName`] if the name is not valid, before any I/O. Returns [`NamedLockError::Database`] if the
    /// server does not answer. Then the lock is probably lost.
    fn still_holds(
        &mut self,
        name: impl TryInto<LockName, Error: Into<NamedLockError>>,
    ) -> impl Future<Output = Result<bool, NamedLockError>> + Send {
        let name = name.try_into().map_err(Into::into);
        async move {
            let (name, mut conn) = (name?, unfinished(self));
            let holds = holds_lock::<Nonblocking, Self>(&mut conn, &name).await;
            Ok(finished(conn, holds)?)
        }
    }
}

impl<C: NamedLockConnection> NamedLockExt for C {}
