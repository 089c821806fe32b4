//! Running a [`NamedLock`] on a connection.

use crate::{
    blocking::{section, transaction::transaction},
    driver::status::NamedLockConnection,
    error::NamedLockError,
    lock::NamedLock,
    section::outcome::{Section, if_free},
};

impl NamedLock {
    /// Acquires the lock on `conn`, runs `work` on it, releases the lock, and returns what `work` returned.
    ///
    /// Before this method returns, the server has confirmed the release, whether `work` returned `Ok` or `Err`, panicked, or left a
    /// transaction open (which is rolled back first). If the server can't confirm the release, the session is killed and the connection
    /// marked broken, so that a pool closes it. That frees the lock within milliseconds, but perhaps after this method has returned.
    ///
    /// # What it does not promise
    ///
    /// * The lock dies with the session. A closure that does not touch the connection for long learns only at the end, by
    ///   [`NamedLockError::Lost`], that it was not alone. Compute in
    ///   [`keep_alive_while`](crate::NamedLockExt::keep_alive_while).
    /// * It excludes only programs that acquire the same lock on the same server.
    /// * A transaction begun by raw SQL (`batch_execute("BEGIN")`, `SET autocommit = 0`) is invisible to Diesel, and so to this
    ///   crate. Commit it before the section ends.
    /// * If the closure releases the lock by hand and acquires it again, the lock was not held in between. Nothing reports that.
    /// * The server keeps the timeout, and the release has none. On a network that goes silent, this method returns when the network
    ///   speaks again, or when the operating system gives the connection up.
    /// * A host that vanishes without closing its connection keeps the lock until the server gives up the session: after
    ///   `wait_timeout`, by default 8 hours. [`idle_limit`](Self::idle_limit) shortens it.
    /// * `process::exit` in the closure runs no clean-up. The lock is free when the process has ended.
    /// * If the closure swaps the connection and forgets it (`mem::forget`), the forgotten connection keeps the lock, provided that the
    ///   new connection is dead or talks to another server.
    ///
    /// ```no_run
    /// # use diesel::{MysqlConnection, prelude::*};
    /// # use diesel_named_lock::{NamedLock, NamedLockError};
    /// # fn reindex(conn: &mut MysqlConnection) -> Result<usize, NamedLockError> {
    /// let rows = NamedLock::new("search-index")?.run(conn, |conn| {
    ///     let rows = diesel::sql_query("UPDATE search_index SET fresh = 1").execute(conn)?;
    ///     Ok::<_, NamedLockError>(rows)
    /// })?;
    /// # Ok(rows)
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns the error of `work`. It takes precedence over an error of the lock, which is then logged at `warn`. Otherwise returns
    /// any [`NamedLockError`], converted by `E::from`. Its documentation says for which variants the closure has run.
    pub fn run<C, T, E, F>(&self, conn: &mut C, work: F) -> Result<T, E>
    where
        C: NamedLockConnection,
        E: From<NamedLockError>,
        F: FnOnce(&mut C) -> Result<T, E>,
    {
        self.section(conn, work)?.into_result()
    }

    /// Runs `work` if the lock is free. Does not wait, whatever the [`timeout`](Self::timeout): returns `Ok(None)` if another session holds
    /// the lock.
    ///
    /// ```no_run
    /// # use diesel::MysqlConnection;
    /// # use diesel_named_lock::{NamedLockError, permits::Permits};
    /// # fn render(_: &mut MysqlConnection) -> Result<u32, NamedLockError> { Ok(1) }
    /// # fn run(conn: &mut MysqlConnection) -> Result<(), NamedLockError> {
    /// match Permits::new("renderers", 3)?.permit().try_run(conn, render)? {
    ///     Some(pages) => println!("{pages} pages"),
    ///     None => println!("three are rendering already"),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns the errors of [`run`](Self::run), except [`NamedLockError::Timeout`].
    pub fn try_run<C, T, E, F>(&self, conn: &mut C, work: F) -> Result<Option<T>, E>
    where
        C: NamedLockConnection,
        E: From<NamedLockError>,
        F: FnOnce(&mut C) -> Result<T, E>,
    {
        let lock = self.clone().no_wait();
        let begun = section::begin(conn, lock.locks().clone(), lock.request()?).map_err(|(_, error)| error);
        if_free(begun.map(|begun| begun.run(work)))
    }

    /// Acquires the lock, begins a transaction, runs `work`, commits, and releases the lock, in this order.
    ///
    /// Any other order is wrong:
    ///
    /// ```text
    /// BEGIN ─ read ─────────────── lock ─ write ─ COMMIT ─ release    wrong: what was read is older than the lock
    ///            another: ─ COMMIT ─ release
    ///
    /// lock ─ BEGIN ─ read ─ write ─ release ─────────── COMMIT        wrong: the next holder comes too early
    ///                                  another: lock ─ read
    ///
    /// lock ─ BEGIN ─ read ─ write ─ COMMIT ─ release                  right
    ///                                          another: lock ─ read
    /// ```
    ///
    /// ```no_run
    /// # use diesel::{MysqlConnection, prelude::*};
    /// # use diesel_named_lock::{NamedLock, NamedLockError};
    /// # fn sell(conn: &mut MysqlConnection) -> Result<(), NamedLockError> {
    /// NamedLock::new("shop:stock")?.run_transaction(conn, |conn| {
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
    /// Returns the errors of [`run`](Self::run), and Diesel's own errors from `BEGIN` and `COMMIT`.
    pub fn run_transaction<C, T, E, F>(&self, conn: &mut C, work: F) -> Result<T, E>
    where
        C: NamedLockConnection,
        E: From<NamedLockError> + From<diesel::result::Error>,
        F: FnOnce(&mut C) -> Result<T, E>,
    {
        self.run(conn, |conn| transaction(conn, work))
    }

    /// Runs a closure that may return any type. You get its value even if the lock was lost. Otherwise like [`run`](Self::run).
    ///
    /// ```no_run
    /// # use diesel::MysqlConnection;
    /// # use diesel_named_lock::{NamedLock, NamedLockError};
    /// # fn print_all_invoices(_: &mut MysqlConnection) -> u32 { 0 }
    /// # fn run(conn: &mut MysqlConnection) -> Result<(), NamedLockError> {
    /// let section = NamedLock::new("invoices")?.section(conn, |conn| print_all_invoices(conn))?;
    /// println!("{} printed, after {:?}", section.value, section.waited);
    /// if let Some(NamedLockError::Lost { .. }) = section.error {
    ///     eprintln!("look for invoices that were printed twice");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error only if the closure has not run. [`Section::error`] has what went wrong later.
    pub fn section<C, T, F>(&self, conn: &mut C, work: F) -> Result<Section<T>, NamedLockError>
    where
        C: NamedLockConnection,
        F: FnOnce(&mut C) -> T,
    {
        match section::begin(conn, self.locks().clone(), self.request()?) {
            Ok(begun) => Ok(begun.run(work)),
            Err((conn, error)) => Err(section::with_holder(error, conn)),
        }
    }
}
