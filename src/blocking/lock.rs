//! Running a [`NamedLock`] on a connection.

use crate::{
    blocking::{section, transaction::transaction},
    driver::status::NamedLockConnection,
    error::NamedLockError,
    lock::NamedLock,
    section::outcome::Section,
};

impl NamedLock {
    /// Runs `work` while the lock is held, and returns what it returns.
    ///
    /// The lock is taken on `conn`, `work` gets the same `conn`, and before this returns, the lock is released and the
    /// server has confirmed it, whether `work` returned `Ok` or `Err`, panicked, or left a transaction open (which is
    /// rolled back first). Where the server can't confirm it, the session is ended and the connection marked, so
    /// that a pool closes it: that frees the lock soon (within 12 ms in our fault matrix), but after this has returned.
    ///
    /// # What it does not promise
    ///
    /// * The lock dies with the session. Work that goes on for long without touching the connection learns only at the
    ///   end, by [`NamedLockError::Lost`], that it was not alone: let it compute in
    ///   [`keep_alive_while`](crate::NamedLockExt::keep_alive_while).
    /// * Only those who take the same lock on the same server are kept out.
    /// * A transaction begun by raw SQL (`batch_execute("BEGIN")`, `SET autocommit = 0`) is unseen by Diesel, and so by this
    ///   crate: commit it before the section ends.
    /// * A lock that the work releases by hand and takes again was not held in between; nothing tells.
    /// * The timeout is the server's to keep, and the release has none. On a network that goes silent, this returns when it
    ///   speaks again, or when the operating system gives the connection up.
    /// * A host that vanishes without closing its connection keeps the lock until the server gives its session up: after
    ///   `wait_timeout`, by default 8 hours; [`idle_limit`](Self::idle_limit) shortens it.
    /// * `process::exit` inside the work runs no clean-up: the lock is free when the process has ended.
    /// * A connection that the work swaps out and forgets (`mem::forget`) keeps the lock, if the one that it put in its
    ///   place is dead or talks to another server.
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
    /// What `work` returns as `Err`; it wins over an error of the lock, which is then logged at `warn`. Otherwise any
    /// [`NamedLockError`], by `E::from`; its documentation says for which the work has run.
    pub fn run<C, T, E, F>(&self, conn: &mut C, work: F) -> Result<T, E>
    where
        C: NamedLockConnection,
        E: From<NamedLockError>,
        F: FnOnce(&mut C) -> Result<T, E>,
    {
        self.section(conn, work)?.into_result()
    }

    /// Like [`run`](Self::run), with the work inside a transaction: lock, `BEGIN`, work, `COMMIT`, release.
    ///
    /// The order is the point:
    ///
    /// ```text
    /// BEGIN ─ read ─────────────── lock ─ write ─ COMMIT ─ release    wrong: what was read is older than the lock
    ///            another: ─ COMMIT ─ release
    ///
    /// lock ─ BEGIN ─ read ─ write ─ release ─────────── COMMIT        wrong: the next one gets in too early
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
    /// # Errors
    ///
    /// As for [`run`](Self::run), and Diesel's own errors from `BEGIN` and `COMMIT`.
    pub fn run_transaction<C, T, E, F>(&self, conn: &mut C, work: F) -> Result<T, E>
    where
        C: NamedLockConnection,
        E: From<NamedLockError> + From<diesel::result::Error>,
        F: FnOnce(&mut C) -> Result<T, E>,
    {
        self.run(conn, |conn| transaction(conn, work))
    }

    /// Like [`run`](Self::run), for work that returns anything: its value comes back even when the lock was lost.
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
    /// Only where the work has not run. What went wrong later stands in [`Section::error`].
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
