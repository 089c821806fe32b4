//! The methods that a connection gains.

use std::time::Duration;

use crate::{LockName, NamedLock, NamedLockError, session::MysqlSession};

/// Sections on every Diesel connection to MySQL or MariaDB: plain, pooled by r2d2, or of a manager of your own.
///
/// The closure gets the same connection, and may use all of Diesel on it. The options that don't stand here (several
/// locks, re-entry, waiting for ever, a value that is kept even when the lock was lost) are in [`NamedLock`].
///
/// ```no_run
/// use std::time::Duration;
///
/// use diesel::{MysqlConnection, prelude::*, r2d2::{ConnectionManager, Pool}};
/// use diesel_named_lock::{NamedLockError, NamedLockExt};
///
/// fn rebuild_index(pool: &Pool<ConnectionManager<MysqlConnection>>) -> Result<(), Box<dyn std::error::Error>> {
///     let mut conn = pool.get()?;
///     conn.with_named_lock("search-index", Duration::from_secs(5), |conn| {
///         diesel::sql_query("DELETE FROM search_index").execute(conn)?;
///         diesel::sql_query("INSERT INTO search_index SELECT id, title FROM articles").execute(conn)?;
///         Ok::<_, NamedLockError>(())
///     })?;
///     Ok(())
/// }
/// ```
pub trait NamedLockExt: MysqlSession {
    /// Runs `work` while this session holds the named lock; waits for it for at most `timeout`.
    ///
    /// `name` is a `&str`, `String`, [`LockName`] or `&LockName`. `timeout` is exact to the millisecond on both servers;
    /// zero asks once. [`NamedLock::run`] says what is promised and what is not.
    ///
    /// # Errors
    ///
    /// What `work` returns as `Err`; otherwise any [`NamedLockError`], by `E::from`.
    fn with_named_lock<N, T, E, F>(&mut self, name: N, timeout: Duration, work: F) -> Result<T, E>
    where
        N: TryInto<LockName>,
        NamedLockError: From<N::Error>,
        E: From<NamedLockError>,
        F: FnOnce(&mut Self) -> Result<T, E>,
    {
        NamedLock::new(name)?.timeout(timeout).run(self, work)
    }

    /// Runs `work` if the named lock is free at once; `Ok(None)` where another session holds it.
    ///
    /// # Errors
    ///
    /// As for [`with_named_lock`](Self::with_named_lock), but for [`NamedLockError::Timeout`].
    fn try_with_named_lock<N, T, E, F>(&mut self, name: N, work: F) -> Result<Option<T>, E>
    where
        N: TryInto<LockName>,
        NamedLockError: From<N::Error>,
        E: From<NamedLockError>,
        F: FnOnce(&mut Self) -> Result<T, E>,
    {
        NamedLock::new(name)?.no_wait().run_if_free(self, work)
    }

    /// Lock, `BEGIN`, work, `COMMIT`, release: in this order, for the reasons that [`NamedLock::run_transaction`] gives.
    ///
    /// # Errors
    ///
    /// As for [`with_named_lock`](Self::with_named_lock), and Diesel's own errors from `BEGIN` and `COMMIT`.
    fn with_named_lock_transaction<N, T, E, F>(&mut self, name: N, timeout: Duration, work: F) -> Result<T, E>
    where
        N: TryInto<LockName>,
        NamedLockError: From<N::Error>,
        E: From<NamedLockError> + From<diesel::result::Error>,
        F: FnOnce(&mut Self) -> Result<T, E>,
    {
        NamedLock::new(name)?.timeout(timeout).run_transaction(self, work)
    }
}

impl<C: MysqlSession> NamedLockExt for C {}
