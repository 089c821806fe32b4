//! The extension trait of connections.

use std::time::Duration;

use crate::{
    blocking::keep_alive,
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
/// The closure gets the same connection, and may use all of Diesel on it. [`NamedLock`] has the other options: several locks,
/// re-entry, waiting for ever, a value that is kept even if the lock was lost.
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
    /// Acquires the named lock, runs `work` on this connection, releases the lock, and returns what `work` returned.
    ///
    /// Waits for the lock for at most `timeout`, which means the same on both servers, also below a second. Zero asks once. `name` is a
    /// `&str`, `String`, [`LockName`] or `&LockName`. [`NamedLock::run`] says what is promised and what is not.
    ///
    /// `E` is any error type that implements `From<NamedLockError>`. If the compiler can't infer it, end the closure with
    /// `Ok::<_, MyError>(value)`. If `work` is a function on `&mut MysqlConnection` and this is a pooled connection, write
    /// `|conn| work(conn)`.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # use diesel::{MysqlConnection, prelude::*};
    /// # use diesel_named_lock::NamedLockExt;
    /// // With Diesel's own error type, which carries this crate's errors inside.
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
    /// Returns the error of `work`. Otherwise returns any [`NamedLockError`], converted by `E::from`.
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

    /// Runs `work` if the named lock is free. Does not wait: returns `Ok(None)` if another session holds it.
    ///
    /// ```no_run
    /// # use diesel::MysqlConnection;
    /// # use diesel_named_lock::{NamedLockError, NamedLockExt};
    /// # fn clean_up(_: &mut MysqlConnection) -> Result<u32, NamedLockError> { Ok(0) }
    /// # fn run(conn: &mut MysqlConnection) -> Result<(), NamedLockError> {
    /// match conn.try_with_named_lock("clean-up", clean_up)? {
    ///     Some(removed) => println!("{removed} removed"),
    ///     None => println!("already being done elsewhere"),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns the errors of [`with_named_lock`](Self::with_named_lock), except [`NamedLockError::Timeout`].
    fn try_with_named_lock<T, E, F>(
        &mut self,
        name: impl TryInto<LockName, Error: Into<NamedLockError>>,
        work: F,
    ) -> Result<Option<T>, E>
    where
        E: From<NamedLockError>,
        F: FnOnce(&mut Self) -> Result<T, E>,
    {
        NamedLock::new(name)?.try_run(self, work)
    }

    /// Acquires the lock, begins a transaction, runs `work`, commits, and releases the lock, in this order.
    ///
    /// [`NamedLock::run_transaction`] says why the order matters.
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
    /// The transaction takes six round trips, on top of the lock's two: Diesel sends `BEGIN` and `COMMIT` by `batch_execute`, which
    /// switches several statements at once on before each and off after it.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`with_named_lock`](Self::with_named_lock), and Diesel's own errors from `BEGIN` and `COMMIT`.
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

    /// Runs `compute` on this thread while another thread pings the session, and returns what `compute` returns. For use inside the
    /// closure of a section.
    ///
    /// Servers, firewalls and proxies cut sessions that are idle for long, and the lock dies with the session. So the connection is
    /// lent to another thread. That thread pings it at once and then every `interval`, with one round trip each. An interval below a
    /// millisecond counts as one millisecond.
    ///
    /// A ping that fails is repeated, up to 20 times, since `KILL QUERY` may have struck it. If all of them fail,
    /// [`Watch::is_lost`] is true from then on, and the connection is marked broken, so that a pool closes it. When `compute` has
    /// returned, the session is killed, and the section returns [`Lost`](NamedLockError::Lost).
    ///
    /// Choose an interval well below the shortest time that a session may be idle. A third of it leaves room for a late ping. The interval is not
    /// checked: if it is too long, the server kills the session.
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
    /// A ping has no time limit. On a network that goes silent, it does not fail. Then this method returns (or resumes a panic of
    /// `compute`) only when the network speaks again, or when the operating system gives the connection up. `compute` can ask
    /// [`Watch::silent_for`].
    ///
    /// # Panics
    ///
    /// Panics if `compute` panics, after the pings have stopped. Panics if a hook of the application (Diesel's `Instrumentation`)
    /// panics in a ping: [`Watch::is_lost`] is true from then on, and the panic is resumed when `compute` has returned. Panics if the
    /// operating system can't start a thread.
    fn keep_alive_while<T, F>(&mut self, interval: Duration, compute: F) -> T
    where
        Self: Send,
        F: FnOnce(&Watch) -> T,
    {
        keep_alive::keep_alive_while(self, interval, compute)
    }

    /// Asks the server whether this session holds the named lock at this moment. One round trip.
    ///
    /// Use it in the closure of a section, before a step that can't be undone. It narrows the window, and does not close it: the
    /// session may be killed right after the answer.
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
    /// Returns [`NamedLockError::InvalidName`] if the name is not valid, before any I/O. Returns [`NamedLockError::Database`] if the
    /// server does not answer. Then the lock is probably lost.
    fn still_holds(
        &mut self,
        name: impl TryInto<LockName, Error: Into<NamedLockError>>,
    ) -> Result<bool, NamedLockError> {
        Ok(ready(holds_lock::<Blocking, Self>(self, &name.try_into().map_err(Into::into)?))?)
    }
}

impl<C: NamedLockConnection> NamedLockExt for C {}
