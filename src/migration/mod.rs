//! Diesel's migrations, one process at a time. Needs feature `migrations`.
//!
//! `diesel_migrations` locks nothing. If several processes start together on an empty database, one migrates and the others fail ("table
//! already exists"). [`MigrationExt`] runs the migrations under a named lock. It finds out what is pending while it holds the lock, so that
//! the second process finds nothing to do:
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use diesel::{prelude::*, r2d2::{ConnectionManager, Pool}};
//! use diesel_migrations::{EmbeddedMigrations, embed_migrations};
//! use diesel_named_lock::migration::MigrationExt;
//!
//! const MIGRATIONS: EmbeddedMigrations = embed_migrations!();
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let pool = Pool::new(ConnectionManager::<MysqlConnection>::new("mysql://app@127.0.0.1/shop"))?;
//!     for version in pool.get()?.run_pending_migrations_locked(MIGRATIONS, Duration::from_secs(60))? {
//!         println!("this process ran {version}");
//!     }
//!     Ok(())
//! }
//! ```
//!
//! In the repository, `examples/run migration_guard` shows six processes, without the lock and with it.
//!
//! # A lock, or a harness, of your own
//!
//! The functions of this module do the same on any [`MigrationHarness`], and lock nothing. Call them inside a section. With the lock that
//! `MigrationExt` acquires, and a harness that prints:
//!
//! ```no_run
//! # use diesel::MysqlConnection;
//! # use diesel_migrations::{EmbeddedMigrations, embed_migrations};
//! use diesel_migrations::HarnessWithOutput;
//! use diesel_named_lock::migration::{self, MigrationError};
//!
//! # const MIGRATIONS: EmbeddedMigrations = embed_migrations!();
//! # fn run(conn: &mut MysqlConnection) -> Result<(), MigrationError> {
//! migration::database_lock(conn)?.run(conn, |conn| {
//!     migration::run_pending(&mut HarnessWithOutput::write_to_stdout(conn), MIGRATIONS)
//! })?;
//! # Ok(())
//! # }
//! ```
//!
//! For another name, put `NamedLock::new("shop:schema")?` in place of `database_lock(conn)?`.
//!
//! # What a migration leaves in its session
//!
//! A session keeps what a migration has set in it: `SET autocommit = 0`, `foreign_key_checks`, `sql_mode`, `time_zone`. After a migration
//! that failed half-way, it may also have another default database (`USE`) or locked tables (`LOCK TABLES`). The next user of that connection
//! would get all that. So [`MigrationExt`] marks the connection broken:
//!
//! | connection | nothing to run | ran, or was reverted | failed, or panicked |
//! |---|---|---|---|
//! | of an r2d2 pool | kept | **the pool closes it** at check-in | **the pool closes it** at check-in |
//! | plain | usable | usable, **with what the migration has left in it** | Diesel refuses transactions on it: drop it |
//!
//! Until then, transactions and sections on a marked connection are refused
//! ([`Broken`](crate::NamedLockError::Broken)). So let the migrations be the last use of a checkout. A `&mut MysqlConnection`
//! counts as a plain connection, even if you got it by `&mut *pooled`, or from a pool other than r2d2.
//!
//! The functions of this module mark nothing, because they get a harness and not its connection.
//!
//! # Two sets of migrations
//!
//! Yours and [`MIGRATIONS`] are both recorded in Diesel's table `__diesel_schema_migrations`. Their
//! versions never collide: those of this crate end in `namedlock`, unlike a date. They also sort before every date, so the last
//! migration is always one of yours. Run one set after the other:
//!
//! ```no_run
//! # use std::time::Duration;
//! # use diesel::MysqlConnection;
//! # use diesel_migrations::{EmbeddedMigrations, embed_migrations};
//! # use diesel_named_lock::migration::{MigrationError, MigrationExt};
//! # const MIGRATIONS: EmbeddedMigrations = embed_migrations!();
//! # fn run(conn: &mut MysqlConnection) -> Result<(), MigrationError> {
//! conn.run_pending_migrations_locked(diesel_named_lock::migration::MIGRATIONS, Duration::from_secs(60))?;
//! conn.run_pending_migrations_locked(MIGRATIONS, Duration::from_secs(60))?;
//! # Ok(())
//! # }
//! ```
//!
//! To revert or redo the last migration, your own set is enough, also for `diesel migration revert`. To revert **all** of them, Diesel
//! must know every applied version. Give it both sets as one. (Or copy the SQL of this crate into your own set, instead of all this.)
//!
//! ```
//! # use diesel_migrations::{EmbeddedMigrations, embed_migrations};
//! use diesel::{migration::{self, Migration, MigrationSource}, mysql::Mysql};
//!
//! # const MIGRATIONS: EmbeddedMigrations = embed_migrations!();
//! struct AllMigrations;
//!
//! impl MigrationSource<Mysql> for AllMigrations {
//!     fn migrations(&self) -> migration::Result<Vec<Box<dyn Migration<Mysql>>>> {
//!         let mut all = diesel_named_lock::migration::MIGRATIONS.migrations()?;
//!         all.extend(MIGRATIONS.migrations()?);
//!         Ok(all)
//!     }
//! }
//! ```
//!
//! # Batches, and `KILL QUERY`
//!
//! Diesel sends a file of SQL as one batch. If `KILL QUERY` strikes it between two of its statements, the server drops the rest silently.
//! Then the client waits for the next answer, and the server for the next statement. The lock is held until one of them gives up, by default
//! after 8 hours (`wait_timeout`). Any `batch_execute` of several statements has this fault, on MariaDB and on MySQL, with or without this
//! crate.
//!
//! So under the lock of [`database_lock`], [`IDLE_LIMIT`] bounds the session's timeouts: the server closes the connection, the migration
//! fails, and the lock is free. The limit does not affect a statement that runs for longer.
//!
//! # What it does not promise
//!
//! * **A migration is not atomic.** MySQL commits each `CREATE`, `ALTER` and `DROP` by itself (MySQL manual, "Statements That Cause an
//!   Implicit Commit"). If a migration fails, or its session dies half-way, a part of it stays. [`MigrationError::Failed`] names the
//!   version, in this process and in each later one.
//! * **A killed process may leave a migration that is done but not recorded.** Diesel sends `up.sql` as one batch, and the server may
//!   execute it although the client is gone: MariaDB did so to the end, MySQL stopped at the next statement. That session keeps the lock
//!   until it has ended, so no other process gets in between. If the SQL can run twice (`CREATE TABLE IF NOT EXISTS`), the next process
//!   then finishes the migration without help.
//! * **Without autocommit, the functions of this module do not commit** the record of a migration that runs without a transaction
//!   (`run_in_transaction = false`). Commit after them. [`MigrationExt`] does.
//! * **Only programs that acquire the lock are excluded.** `diesel migration run` does not acquire it.
//! * **A revert is not idempotent.** If several processes call `revert_last_migration_locked`, each reverts one migration.

mod committing;
mod error;
mod steps;

use std::{any::TypeId, time::Duration};

use diesel::{
    connection::AnsiTransactionManager,
    migration::{MigrationSource, MigrationVersion},
    mysql::Mysql,
};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use self::committing::Committing;
pub use self::{
    error::{MigrationError, Step},
    steps::{redo_last, revert_all, revert_last, run_pending},
};
use crate::{
    driver::{
        blocking::{Blocking, ready},
        status::{self, NamedLockConnection},
    },
    lock::NamedLock,
    name::{LockName, folded},
    statement::database,
};

/// The migrations for the tables of this crate: of [`next_token`](crate::fence::next_token), and of the ledger of
/// [`SingletonJob`](crate::job::SingletonJob).
///
/// The SQL is in the folder `migrations/` of this crate. Copy it if you would rather have it among your own migrations.
/// [`migration`](self) shows how to run both sets.
///
/// ```no_run
/// # use std::time::Duration;
/// # use diesel::MysqlConnection;
/// # use diesel_named_lock::migration::{MigrationError, MigrationExt};
/// # fn run(conn: &mut MysqlConnection) -> Result<(), MigrationError> {
/// conn.run_pending_migrations_locked(diesel_named_lock::migration::MIGRATIONS, Duration::from_secs(60))?;
/// # Ok(())
/// # }
/// ```
pub const MIGRATIONS: EmbeddedMigrations = embed_migrations!();

/// Diesel's migrations under the [lock of the database](database_lock), on plain and pooled connections, and on any other connection that is
/// a [`MigrationHarness`].
///
/// Each method waits for the lock for at most `timeout`. The time that a migration may run is not limited. While it holds the lock, the
/// method finds out what there is to do. Each migration is committed when it is done, also in a session without autocommit.
///
/// **The connection is marked broken** after a migration failed. A pooled connection is also marked after a migration ran or was reverted.
/// See [what a migration leaves in its session](self#what-a-migration-leaves-in-its-session).
pub trait MigrationExt: NamedLockConnection + MigrationHarness<Mysql> + 'static {
    /// Runs what is pending, oldest first, and returns the versions that this call ran: none if another process was faster.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # use diesel::MysqlConnection;
    /// # use diesel_migrations::{EmbeddedMigrations, embed_migrations};
    /// # use diesel_named_lock::migration::{MigrationError, MigrationExt};
    /// # const MIGRATIONS: EmbeddedMigrations = embed_migrations!();
    /// # fn run(conn: &mut MysqlConnection) -> Result<(), MigrationError> {
    /// let ran = conn.run_pending_migrations_locked(MIGRATIONS, Duration::from_secs(60))?;
    /// println!("{} migrations run by this process", ran.len());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns any [`MigrationError`].
    fn run_pending_migrations_locked<S>(
        &mut self,
        source: S,
        timeout: Duration,
    ) -> Result<Vec<MigrationVersion<'static>>, MigrationError>
    where
        S: MigrationSource<Mysql>,
    {
        locked(self, timeout, |harness| run_pending(harness, source))
    }

    /// Reverts the last migration that was applied, and returns its version.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # use diesel::MysqlConnection;
    /// # use diesel_migrations::{EmbeddedMigrations, embed_migrations};
    /// # use diesel_named_lock::migration::{MigrationError, MigrationExt};
    /// # const MIGRATIONS: EmbeddedMigrations = embed_migrations!();
    /// # fn run(conn: &mut MysqlConnection) -> Result<(), MigrationError> {
    /// let version = conn.revert_last_migration_locked(MIGRATIONS, Duration::from_secs(60))?;
    /// println!("{version} reverted");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns the errors of [`revert_last`], [`MigrationError::Lock`] and [`MigrationError::Lost`].
    fn revert_last_migration_locked<S>(
        &mut self,
        source: S,
        timeout: Duration,
    ) -> Result<MigrationVersion<'static>, MigrationError>
    where
        S: MigrationSource<Mysql>,
    {
        locked(self, timeout, |harness| Ok([revert_last(harness, source)?])).map(|[version]| version)
    }

    /// Reverts all migrations, newest first, and returns the versions that this call reverted.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # use diesel::MysqlConnection;
    /// # use diesel_migrations::{EmbeddedMigrations, embed_migrations};
    /// # use diesel_named_lock::migration::{MigrationError, MigrationExt};
    /// # const MIGRATIONS: EmbeddedMigrations = embed_migrations!();
    /// # fn run(conn: &mut MysqlConnection) -> Result<(), MigrationError> {
    /// let reverted = conn.revert_all_migrations_locked(MIGRATIONS, Duration::from_secs(60))?;
    /// println!("{} migrations reverted", reverted.len());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns the errors of [`revert_all`], [`MigrationError::Lock`] and [`MigrationError::Lost`].
    fn revert_all_migrations_locked<S>(
        &mut self,
        source: S,
        timeout: Duration,
    ) -> Result<Vec<MigrationVersion<'static>>, MigrationError>
    where
        S: MigrationSource<Mysql>,
    {
        locked(self, timeout, |harness| revert_all(harness, source))
    }

    /// Reverts the last migration that was applied, runs it again, and returns its version. No other process can run
    /// migrations in between.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # use diesel::MysqlConnection;
    /// # use diesel_migrations::{EmbeddedMigrations, embed_migrations};
    /// # use diesel_named_lock::migration::{MigrationError, MigrationExt};
    /// # const MIGRATIONS: EmbeddedMigrations = embed_migrations!();
    /// # fn run(conn: &mut MysqlConnection) -> Result<(), MigrationError> {
    /// let version = conn.redo_last_migration_locked(MIGRATIONS, Duration::from_secs(60))?;
    /// println!("{version} reverted and run again");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns the errors of [`redo_last`], [`MigrationError::Lock`] and [`MigrationError::Lost`].
    fn redo_last_migration_locked<S>(
        &mut self,
        source: S,
        timeout: Duration,
    ) -> Result<MigrationVersion<'static>, MigrationError>
    where
        S: MigrationSource<Mysql>,
    {
        locked(self, timeout, |harness| Ok([redo_last(harness, source)?])).map(|[version]| version)
    }
}

impl<C: NamedLockConnection + MigrationHarness<Mysql> + 'static> MigrationExt for C {}

fn locked<C, T>(
    conn: &mut C,
    timeout: Duration,
    work: impl FnOnce(&mut Committing<'_, C>) -> Result<T, MigrationError>,
) -> Result<T, MigrationError>
where
    C: NamedLockConnection + 'static,
    T: AsRef<[MigrationVersion<'static>]> + Into<Vec<MigrationVersion<'static>>>,
{
    let lock = database_lock(conn)?.timeout(timeout);
    // A migration may panic, too.
    let mut conn = scopeguard::guard_on_unwind(conn, status::mark_broken);
    // Diesel caches the harness's statements, too.
    let work = |conn: &mut C| work(&mut Committing(conn)).inspect_err(|_| status::forget_statements(conn));
    let section = lock.section(*conn, work)?;
    let leaves_something = match &section.value {
        Ok(done) => is_pooled::<C>() && !done.as_ref().is_empty(),
        Err(error) => matches!(error, MigrationError::Failed { .. }),
    };
    if leaves_something {
        status::mark_broken(*conn);
    }
    match (section.value, section.error) {
        (Ok(done), Some(source)) => Err(MigrationError::Lost { done: done.into(), source }),
        (value, _) => value,
    }
}

/// Whether the connection may return to a pool. Diesel's plain connection has this transaction manager. Connections of r2d2, and any other
/// that wraps one, have another.
fn is_pooled<C: NamedLockConnection + 'static>() -> bool {
    TypeId::of::<C::TransactionManager>() != TypeId::of::<AnsiTransactionManager>()
}

/// The idle limit of [`database_lock`], after which a silent client loses the lock: 5 seconds.
///
/// It counts only between two statements. A statement may run for hours. It is for a host that vanishes, and for a `KILL QUERY` that strikes
/// a [batch](self#batches-and-kill-query).
///
/// A migration in Rust that computes for longer without touching its connection would lose the lock and the connection. For such a
/// migration, call [`run_pending`] under a lock with a longer limit:
///
/// ```no_run
/// # use std::time::Duration;
/// # use diesel::MysqlConnection;
/// # use diesel_migrations::{EmbeddedMigrations, embed_migrations};
/// # use diesel_named_lock::migration;
/// # const MIGRATIONS: EmbeddedMigrations = embed_migrations!();
/// # fn run(conn: &mut MysqlConnection) -> Result<(), Box<dyn std::error::Error>> {
/// let lock = migration::database_lock(conn)?.idle_limit(Duration::from_secs(600));
/// lock.run(conn, |conn| migration::run_pending(conn, MIGRATIONS))?;
/// # Ok(())
/// # }
/// ```
pub const IDLE_LIMIT: Duration = Duration::from_secs(5);

/// Returns the lock that [`MigrationExt`] acquires. Each database of a server has its own, so that applications on different databases don't
/// wait for each other. Asks the server for the name of the current database.
///
/// Letter case does not count: `Shop` and `shop`, which are one database on some systems, share the lock. Its
/// [idle limit](NamedLock::idle_limit) is [`IDLE_LIMIT`].
///
/// ```no_run
/// # use diesel::MysqlConnection;
/// # use diesel_named_lock::migration::{self, MigrationError};
/// # fn run(conn: &mut MysqlConnection) -> Result<(), MigrationError> {
/// // In database `shop`: diesel-migrations:shop#2fbd3c597539c6aae67fc62ae8f724b2
/// println!("{}", migration::database_lock(conn)?.names()[0]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// Returns [`MigrationError::NoDatabase`] if no database is selected, or [`MigrationError::Unplanned`] if the server does not answer.
pub fn database_lock<C: NamedLockConnection>(conn: &mut C) -> Result<NamedLock, MigrationError> {
    let database = ready(database::current::<Blocking, C>(conn));
    let database = database.map_err(|failed| MigrationError::unplanned(failed.error))?;
    let database = folded(&database.ok_or(MigrationError::NoDatabase)?);
    let lock = NamedLock::new(LockName::hashed(&format!("diesel-migrations:{database}")))?;
    Ok(lock.idle_limit(IDLE_LIMIT))
}
