//! The methods that a connection gains.

use std::time::Duration;

use crate::{LockName, NamedLock, NamedLockError, session::MysqlSession};

/// Sections on every Diesel connection to MySQL or MariaDB: plain, pooled by r2d2, or of a manager of your own.
///
/// The closure gets the same connection, and may use all of Diesel on it. The remaining options (several locks, re-entry,
/// waiting for ever, a value that is kept even when the lock was lost) are in [`NamedLock`].
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
    /// `name` is a `&str`, `String`, [`LockName`] or `&LockName`. `timeout` is the same on both servers, also below a second;
    /// zero asks once. [`NamedLock::run`] says what is promised and what is not.
    ///
    /// The compiler has to learn `E` from somewhere: from the function's return type, or from `Ok::<_, MyError>(value)` at
    /// the end of the work. Where `work` is a function on `&mut MysqlConnection` and this is a pooled connection, write
    /// `|conn| work(conn)`.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # use diesel::{MysqlConnection, prelude::*};
    /// # use diesel_named_lock::NamedLockExt;
    /// // With Diesel's own error: ours travel inside it.
    /// fn next_number(conn: &mut MysqlConnection) -> QueryResult<()> {
    ///     conn.with_named_lock("shop:invoice-number", Duration::from_secs(5), |conn| {
    ///         diesel::sql_query("UPDATE numbers SET invoice = invoice + 1").execute(conn)?;
    ///         Ok(())
    ///     })
    /// }
    /// ```
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
    /// ```no_run
    /// # use diesel::MysqlConnection;
    /// # use diesel_named_lock::{NamedLockError, NamedLockExt};
    /// # fn clean_up(_: &mut MysqlConnection) -> Result<u32, NamedLockError> { Ok(0) }
    /// # fn run(conn: &mut MysqlConnection) -> Result<(), NamedLockError> {
    /// match conn.try_with_named_lock("clean-up", clean_up)? {
    ///     Some(removed) => println!("{removed} removed"),
    ///     None => println!("somebody else is at it"),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`with_named_lock`](Self::with_named_lock), except [`NamedLockError::Timeout`].
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
    /// ```no_run
    /// # use std::time::Duration;
    /// # use diesel::{MysqlConnection, prelude::*};
    /// # use diesel_named_lock::{NamedLockError, NamedLockExt};
    /// # fn sell(conn: &mut MysqlConnection) -> Result<(), NamedLockError> {
    /// conn.with_named_lock_transaction("shop:stock", Duration::from_secs(5), |conn| {
    ///     diesel::sql_query("UPDATE stock SET amount = amount - 1").execute(conn)?;
    ///     diesel::sql_query("INSERT INTO sales VALUES (1)").execute(conn)?;
    ///     Ok(())
    /// })
    /// # }
    /// ```
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
