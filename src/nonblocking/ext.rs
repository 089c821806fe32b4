//! The methods that an async connection gains.

use std::time::{Duration, Instant};

use super::{
    NamedLock, NamedLockConnection, keep_alive, section,
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
    /// Runs `work` while this session holds the named lock; waits for it for at most `timeout`.
    ///
    /// `name` is a `&str`, `String`, [`LockName`] or `&LockName`. `timeout` is the same on both servers, also below a second;
    /// zero asks once.
    ///
    /// ```no_run
    /// # use std::time::{Duration, Instant};
    /// # use diesel::QueryResult;
    /// # use diesel_async::{AsyncMysqlConnection, RunQueryDsl};
    /// # use diesel_named_lock::nonblocking::NamedLockExt;
    /// // With Diesel's own error: those of this crate travel inside it.
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
    /// Returns the error of `work`; otherwise any [`NamedLockError`], by `E::from`.
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

    /// Runs `work` if the named lock is free at once; returns `Ok(None)` if another session holds it.
    ///
    /// # Errors
    ///
    /// As for [`with_named_lock`](Self::with_named_lock), except [`NamedLockError::Timeout`].
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
        let lock = NamedLock::new(name).map(|lock| lock.no_wait());
        async move {
            let (names, request) = lock?.into_request()?;
            match section::begin(self, names, request).await.map_err(|not_begun| not_begun.into_parts().1) {
                Ok(begun) => begun.run(work).await.into_result().map(Some),
                Err(NamedLockError::Timeout { .. }) => Ok(None),
                Err(error) => Err(error.into()),
            }
        }
    }

    /// Acquires the lock, begins a transaction, runs `work`, commits, releases the lock: see
    /// [`NamedLock::run_transaction`](crate::NamedLock::run_transaction).
    ///
    /// # Errors
    ///
    /// As for [`with_named_lock`](Self::with_named_lock), and Diesel's own errors from `BEGIN` and `COMMIT`.
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

    /// Inside the closure: keeps the session from being idle for too long while `compute`, which does not use the connection, runs.
    /// Returns what `compute` returns.
    ///
    /// Pings the session at once and then every `interval` (less than a millisecond counts as one), in this same task: one round trip
    /// each. So `compute` has to be async; what computes without awaiting belongs in `spawn_blocking`. If the session does not answer,
    /// [`Watch::is_lost`] is true from then on, and the section ends as [`Lost`](NamedLockError::Lost).
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
    /// On a network that goes silent, a ping fails after 10 seconds. [`Watch::silent_for`] says how long there was no answer.
    ///
    /// # Panics
    ///
    /// Panics if `compute` does, after the ping that is under way.
    fn keep_alive_while<'a, 'c, T, F>(&'c mut self, interval: Duration, compute: F) -> impl Future<Output = T> + Send
    where
        T: Send + 'a,
        for<'r> F: AsyncFnOnce(&'r Watch) -> T + AsyncWork<&'r Watch, T, Future: Send> + Send + 'a,
        'a: 'c,
    {
        async move {
            let watch = Watch::new(Instant::now(), Duration::MAX);
            keep_alive::keep_alive_while(self, interval, &watch, compute(&watch)).await
        }
    }

    /// Inside the closure: returns whether this session holds the named lock at this moment. One round trip.
    ///
    /// It narrows the window, and does not close it: the session may be killed right after the answer.
    ///
    /// # Errors
    ///
    /// Returns [`NamedLockError::InvalidName`] before any I/O, and [`NamedLockError::Database`] if the server does not answer; then
    /// it probably does not hold the lock any more.
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
