//! The methods that a connection gains.

use std::time::Duration;

use crate::{
    blocking::{keep_alive, section},
    driver::{
        blocking::{Blocking, ready},
        status::NamedLockConnection,
    },
    error::NamedLockError,
    lock::NamedLock,
    name::LockName,
    section::ask::holds_lock,
    watch::Watch,
};

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
pub trait NamedLockExt: NamedLockConnection {
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
    fn with_named_lock<T, E, F>(
        &mut self,
        name: impl TryInto<LockName, Error: Into<NamedLockError>>,
        timeout: Duration,
        work: F,
    ) -> Result<T, E>
    where
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
    fn try_with_named_lock<T, E, F>(
        &mut self,
        name: impl TryInto<LockName, Error: Into<NamedLockError>>,
        work: F,
    ) -> Result<Option<T>, E>
    where
        E: From<NamedLockError>,
        F: FnOnce(&mut Self) -> Result<T, E>,
    {
        let lock = NamedLock::new(name)?.no_wait();
        match section::begin(self, lock.locks().clone(), lock.request()?) {
            Ok(begun) => begun.run(work).into_result().map(Some),
            Err((_, NamedLockError::Timeout { .. })) => Ok(None),
            Err((_, error)) => Err(error.into()),
        }
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
    fn with_named_lock_transaction<T, E, F>(
        &mut self,
        name: impl TryInto<LockName, Error: Into<NamedLockError>>,
        timeout: Duration,
        work: F,
    ) -> Result<T, E>
    where
        E: From<NamedLockError> + From<diesel::result::Error>,
        F: FnOnce(&mut Self) -> Result<T, E>,
    {
        NamedLock::new(name)?.timeout(timeout).run_transaction(self, work)
    }

    /// Inside the work: keeps the session from being idle for too long while `compute`, which does not use the connection,
    /// runs on this thread. Returns what `compute` returns.
    ///
    /// Servers, firewalls and proxies end sessions that are idle for long, and the lock ends with the session. So the
    /// connection is lent to another thread, which pings it at once and then every `interval` (less than a millisecond
    /// counts as one): one round trip each. A ping that fails is repeated, up to 20 times, since `KILL QUERY` may have struck it.
    /// If all of them fail, [`Watch::is_lost`] is true from then on, the connection is marked so that a pool closes it, and the
    /// session is killed when `compute` has returned, so that the section ends as [`Lost`](NamedLockError::Lost).
    ///
    /// Choose an interval well below the shortest time that anybody allows a session to be idle: a third of it leaves room
    /// for a ping that is late.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # use diesel::{MysqlConnection, prelude::*};
    /// # use diesel_named_lock::{NamedLockError, NamedLockExt};
    /// # fn render(page: u32) -> String { String::new() }
    /// # fn rebuild(conn: &mut MysqlConnection) -> Result<(), NamedLockError> {
    /// conn.with_named_lock("site", Duration::from_secs(5), |conn| {
    ///     let pages: Vec<String> = conn.keep_alive_while(Duration::from_secs(60), |watch| {
    ///         (0..100_000).take_while(|_| !watch.is_lost()).map(render).collect()
    ///     });
    ///     diesel::sql_query("UPDATE site SET fresh = 1").execute(conn)?;
    ///     Ok(())
    /// })
    /// # }
    /// ```
    ///
    /// # What it does not promise
    ///
    /// A ping has no time limit. On a network that goes silent it does not fail, and this returns (or goes on with a panic of
    /// `compute`) only when it speaks again, or when the operating system gives the connection up.
    /// [`Watch::silent_for`] tells `compute` meanwhile.
    ///
    /// # Panics
    ///
    /// As `compute` does: the pings are stopped first. Where a hook of the application (Diesel's `Instrumentation`) panics
    /// in a ping, when `compute` has returned; [`Watch::is_lost`] is true meanwhile. Where the operating system has no
    /// thread to give.
    fn keep_alive_while<T, F>(&mut self, interval: Duration, compute: F) -> T
    where
        Self: Send,
        F: FnOnce(&Watch) -> T,
    {
        keep_alive::keep_alive_while(self, interval, compute)
    }

    /// Inside the work: whether this session holds the named lock at this moment. One round trip.
    ///
    /// For work that is about to do what can't be taken back. It narrows the window, and does not close it: the session may
    /// be ended right after the answer.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # use diesel::MysqlConnection;
    /// # use diesel_named_lock::{NamedLockError, NamedLockExt};
    /// # fn send_invoices() {}
    /// # fn run(conn: &mut MysqlConnection) -> Result<(), NamedLockError> {
    /// conn.with_named_lock("invoices", Duration::from_secs(5), |conn| {
    ///     // …
    ///     if conn.still_holds("invoices")? {
    ///         send_invoices();
    ///     }
    ///     Ok(())
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`NamedLockError::InvalidName`], before any I/O. [`NamedLockError::Database`] where the server does not answer; then
    /// it probably does not hold the lock any more.
    fn still_holds(
        &mut self,
        name: impl TryInto<LockName, Error: Into<NamedLockError>>,
    ) -> Result<bool, NamedLockError> {
        Ok(ready(holds_lock::<Blocking, Self>(self, &name.try_into().map_err(Into::into)?))?)
    }
}

impl<C: NamedLockConnection> NamedLockExt for C {}
