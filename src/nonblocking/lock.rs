//! The description of a lock, for async connections.

use std::time::Duration;

use super::{NamedLockConnection, section, transaction::transaction, work::AsyncWork};
use crate::{
    deadline::Timeout,
    error::NamedLockError,
    lock,
    name::LockName,
    names::Names,
    section::{
        Request,
        outcome::{Section, if_free},
    },
};

/// A description of a named lock, or of several, with options: [`NamedLock`](crate::NamedLock) for async connections.
///
/// The options are documented there, and are the same here. The two types convert into each other by `From`.
///
/// ```no_run
/// use std::time::Duration;
///
/// use diesel_async::{AsyncMysqlConnection, RunQueryDsl};
/// use diesel_named_lock::{NamedLockError, nonblocking::NamedLock};
///
/// static STOCK: NamedLock = NamedLock::from_static("shop:stock").timeout(Duration::from_secs(5));
///
/// async fn restock(conn: &mut AsyncMysqlConnection) -> Result<(), NamedLockError> {
///     STOCK
///         .run(conn, async |conn| {
///             diesel::sql_query("UPDATE stock SET amount = amount + 1").execute(conn).await?;
///             Ok(())
///         })
///         .await
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[must_use = "a `NamedLock` locks nothing until it is run"]
pub struct NamedLock(lock::NamedLock);

impl NamedLock {
    /// The default [`timeout`](Self::timeout): 10 seconds.
    pub const DEFAULT_TIMEOUT: Duration = lock::NamedLock::DEFAULT_TIMEOUT;

    /// Creates a lock, like [`NamedLock::new`](crate::NamedLock::new).
    ///
    /// # Errors
    ///
    /// Returns [`NamedLockError::InvalidName`] if the name is not valid. Never fails for a [`LockName`].
    pub fn new(name: impl TryInto<LockName, Error: Into<NamedLockError>>) -> Result<Self, NamedLockError> {
        lock::NamedLock::new(name).map(Self)
    }

    /// Creates a lock for a `static`, with a name that is checked at compile time, like [`NamedLock::from_static`](crate::NamedLock::from_static).
    ///
    /// # Panics
    ///
    /// Panics if the name is not valid.
    pub const fn from_static(name: &'static str) -> Self {
        Self(lock::NamedLock::from_static(name))
    }

    /// Creates a lock over several names, like [`NamedLock::all_of`](crate::NamedLock::all_of).
    ///
    /// # Errors
    ///
    /// Returns [`NamedLockError::InvalidName`] if a name is not valid, if there is no name, or if two names differ only in letter case.
    pub fn all_of(
        names: impl IntoIterator<Item = impl TryInto<LockName, Error: Into<NamedLockError>>>,
    ) -> Result<Self, NamedLockError> {
        lock::NamedLock::all_of(names).map(Self)
    }

    /// Sets how long to wait, like [`NamedLock::timeout`](crate::NamedLock::timeout). Defaults to [`Self::DEFAULT_TIMEOUT`].
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.0.timeout = Timeout::After(timeout);
        self
    }

    /// Asks once and does not wait, like [`NamedLock::no_wait`](crate::NamedLock::no_wait).
    pub const fn no_wait(self) -> Self {
        self.timeout(Duration::ZERO)
    }

    /// Waits until the lock is free, like [`NamedLock::wait_forever`](crate::NamedLock::wait_forever).
    pub const fn wait_forever(mut self) -> Self {
        self.0.timeout = Timeout::Never;
        self
    }

    /// Allows the section inside another section over the same lock, like [`NamedLock::reentrant`](crate::NamedLock::reentrant).
    pub const fn reentrant(mut self) -> Self {
        self.0.reentrant = true;
        self
    }

    /// Sets how long the session may be idle, like [`NamedLock::idle_limit`](crate::NamedLock::idle_limit).
    pub const fn idle_limit(mut self, limit: Duration) -> Self {
        self.0.idle_limit = Some(limit);
        self
    }

    /// Returns the names, each once, in the order in which they are acquired.
    #[must_use]
    pub fn names(&self) -> &[LockName] {
        self.0.names()
    }

    /// Acquires the lock on `conn`, runs `work` on it, releases the lock, and returns what `work` returned.
    ///
    /// [`NamedLock::run`](crate::NamedLock::run) says what is promised and what is not. If the future is dropped, see
    /// [Cancellation](super#cancellation).
    ///
    /// # Errors
    ///
    /// Returns the error of `work`. Otherwise returns any [`NamedLockError`], converted by `E::from`. Its documentation says for which variants
    /// `work` has run.
    pub fn run<'a, 'c, C, T, E, F>(
        &self,
        conn: &'c mut C,
        work: F,
    ) -> impl Future<Output = Result<T, E>> + Send + use<'a, 'c, C, T, E, F>
    where
        C: NamedLockConnection,
        T: Send + 'a,
        E: From<NamedLockError> + Send + 'a,
        for<'r> F:
            AsyncFnOnce(&'r mut C) -> Result<T, E> + AsyncWork<&'r mut C, Result<T, E>, Future: Send> + Send + 'a,
        'a: 'c,
    {
        let section = self.section(conn, work);
        async move { section.await?.into_result() }
    }

    /// Runs `work` if the lock is free. Does not wait, whatever the timeout: returns `Ok(None)` if another session holds the lock.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`run`](Self::run), except [`NamedLockError::Timeout`].
    pub fn try_run<'a, 'c, C, T, E, F>(
        &self,
        conn: &'c mut C,
        work: F,
    ) -> impl Future<Output = Result<Option<T>, E>> + Send + use<'a, 'c, C, T, E, F>
    where
        C: NamedLockConnection,
        T: Send + 'a,
        E: From<NamedLockError> + Send + 'a,
        for<'r> F:
            AsyncFnOnce(&'r mut C) -> Result<T, E> + AsyncWork<&'r mut C, Result<T, E>, Future: Send> + Send + 'a,
        'a: 'c,
    {
        let lock = self.clone().no_wait();
        async move {
            let (names, request) = lock.into_request()?;
            if_free(match section::begin(conn, names, request).await {
                Ok(begun) => Ok(begun.run(work).await),
                Err(not_begun) => Err(not_begun.into_parts().1),
            })
        }
    }

    /// Acquires the lock, begins a transaction, runs `work`, commits, and releases the lock, in this order.
    ///
    /// [`NamedLock::run_transaction`](crate::NamedLock::run_transaction) says why the order matters.
    ///
    /// The transaction takes two round trips more, `BEGIN` and `COMMIT`.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`run`](Self::run), and Diesel's own errors from `BEGIN` and `COMMIT`.
    pub fn run_transaction<'a, 'c, C, T, E, F>(
        &self,
        conn: &'c mut C,
        work: F,
    ) -> impl Future<Output = Result<T, E>> + Send + use<'a, 'c, C, T, E, F>
    where
        C: NamedLockConnection,
        T: Send + 'a,
        E: From<NamedLockError> + From<diesel::result::Error> + Send + 'a,
        for<'r> F:
            AsyncFnOnce(&'r mut C) -> Result<T, E> + AsyncWork<&'r mut C, Result<T, E>, Future: Send> + Send + 'a,
        'a: 'c,
    {
        self.run(conn, async move |conn: &mut C| transaction(conn, work).await)
    }

    /// Runs a closure that may return any type. You get its value even if the lock was lost. Otherwise like [`run`](Self::run).
    ///
    /// # Errors
    ///
    /// Returns an error only if `work` has not run. [`Section::error`] has what went wrong later.
    pub fn section<'a, 'c, C, T, F>(
        &self,
        conn: &'c mut C,
        work: F,
    ) -> impl Future<Output = Result<Section<T>, NamedLockError>> + Send + use<'a, 'c, C, T, F>
    where
        C: NamedLockConnection,
        T: Send + 'a,
        for<'r> F: AsyncFnOnce(&'r mut C) -> T + AsyncWork<&'r mut C, T, Future: Send> + Send + 'a,
        'a: 'c,
    {
        let (names, request) = (self.0.locks().clone(), self.0.request());
        async move {
            match section::begin(conn, names, request?).await {
                Ok(begun) => Ok(begun.run(work).await),
                Err(not_begun) => Err(not_begun.with_holder().await.into_parts().1),
            }
        }
    }

    pub(super) fn into_request(self) -> Result<(Names, Request), NamedLockError> {
        Ok((self.0.locks().clone(), self.0.request()?))
    }
}

impl From<lock::NamedLock> for NamedLock {
    fn from(lock: lock::NamedLock) -> Self {
        Self(lock)
    }
}

impl From<NamedLock> for lock::NamedLock {
    fn from(NamedLock(lock): NamedLock) -> Self {
        lock
    }
}
