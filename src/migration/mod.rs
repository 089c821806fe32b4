//! Diesel's migrations, one process at a time. Needs feature `migrations`.
//!
//! `diesel_migrations` locks nothing: of several processes that start together on an empty database, one migrates and the
//! others fail ("table already exists"). [`MigrationExt`] puts what its harness does under a named lock; what is
//! pending is found out inside the lock, so that whoever comes second finds nothing to do:
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
//! `examples/run migration_guard` shows it with six processes, without the lock and with it.
//!
//! # A lock, or a harness, of your own
//!
//! The functions of this module do the same on any [`MigrationHarness`], and lock nothing: for use inside a section. With
//! the lock that `MigrationExt` takes, and a harness that prints:
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
//! A session keeps what a migration has set in it: `SET autocommit = 0`, `foreign_key_checks`, `sql_mode`, `time_zone`, and,
//! after one that failed half-way, another default database (`USE`) or locked tables (`LOCK TABLES`). The next one to use that
//! connection would work with it. So [`MigrationExt`] marks the connection broken:
//!
//! | connection | nothing to run | ran, or was reverted | failed, or panicked |
//! |---|---|---|---|
//! | of an r2d2 pool | kept | **the pool closes it** at check-in | **the pool closes it** at check-in |
//! | plain | usable | usable, **with what the migration has left in it** | Diesel refuses transactions on it: drop it |
//!
//! Until then, transactions and sections on a marked connection are refused
//! ([`Broken`](crate::NamedLockError::Broken)): let a migration be the last thing that is done with a checkout. A
//! `&mut MysqlConnection` is taken for a plain one, also if it was got by `&mut *pooled`, or from a pool other than r2d2.
//!
//! The functions of this module mark nothing, since they see a harness, not its connection.
//!
//! # Two sets of migrations
//!
//! Yours and [`MIGRATIONS`] are both recorded in Diesel's table `__diesel_schema_migrations`. Their
//! versions never meet: those of this crate end in `namedlock`, which no date does. Run one set after the other:
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
//! To revert, Diesel has to know every version that is applied. Give it both sets as one (or copy the SQL of this crate
//! into your own set, instead of all this):
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
//! Diesel sends a file of SQL as one batch. If a `KILL QUERY` strikes it between two of its statements, the server drops the
//! rest without a word: the client waits for the next answer, the server for the next statement, and the lock is held until
//! one of them gives up, by default after 8 hours (`wait_timeout`). Any `batch_execute` of several statements has this
//! fault, on MariaDB and on MySQL, with this crate or without. So under the lock of [`database_lock`], the session's timeouts
//! are bounded by [`IDLE_LIMIT`]: the server closes the connection, the migration fails, and the lock is free. A statement that
//! runs for longer is not touched.
//!
//! # What it does not promise
//!
//! * **A migration is not atomic.** MySQL commits each `CREATE`, `ALTER` and `DROP` by itself (MySQL manual, "Statements
//!   That Cause an Implicit Commit"). Where one fails, or its session dies half-way, a part of it stays;
//!   [`MigrationError::Failed`] tells at which version, in this process and in each that comes after.
//! * **A killed process may leave a migration that is done and not recorded.** Diesel sends `up.sql` as one batch, and the
//!   server may work through it with nobody left to hear the answer: MariaDB did so to the end, MySQL stopped at the next
//!   statement (our test `where_one_is_killed_in_the_middle_of_a_migration_the_others_tell_the_version`). Until that
//!   session has ended, it keeps the lock, so no other process gets in between. SQL that can be run twice (`CREATE TABLE IF
//!   NOT EXISTS`) is then taken over by the next process without anybody's help.
//! * **Without autocommit, the functions of this module do not record** a migration that asks for no transaction
//!   (`run_in_transaction = false`): commit after them. [`MigrationExt`] does.
//! * **Only those who take the lock are kept out.** `diesel migration run` does not.
//! * **A revert is not idempotent.** Several processes that call `revert_last_migration_locked` revert one each.

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

/// The tables that this crate ships: for [`next_token`](crate::fence::next_token), and for the ledger of
/// [`SingletonJob`](crate::job::SingletonJob).
///
/// The SQL is in the folder `migrations/` of this crate, to copy where you would rather have it among your own.
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

/// Diesel's migrations under the [lock of the database](database_lock): on plain and pooled connections, and on any other
/// that is a [`MigrationHarness`].
///
/// Each method waits for the lock for at most `timeout` (how long a migration may run is not limited), then finds out,
/// while it is held, what there is to do. Each migration is committed when it is done, also in a session without autocommit.
///
/// **The connection is marked broken** after a migration failed, and, if it is of a pool, also after one ran or was reverted:
/// see [what a migration leaves in its session](self#what-a-migration-leaves-in-its-session).
pub trait MigrationExt: NamedLockConnection + MigrationHarness<Mysql> + 'static {
    /// Runs what is pending, oldest first, and returns the versions that this call ran: none, where another process
    /// was faster.
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
    /// Any [`MigrationError`].
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
    /// As for [`revert_last`]; [`MigrationError::Lock`] and [`MigrationError::Lost`].
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
    /// As for [`revert_all`]; [`MigrationError::Lock`] and [`MigrationError::Lost`].
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

    /// Reverts the last migration that was applied, runs it again, and returns its version. Nobody runs anything in between.
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
    /// As for [`redo_last`]; [`MigrationError::Lock`] and [`MigrationError::Lost`].
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
    // Diesel keeps the harness's statements, too.
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

/// Whether the connection may go back to a pool. Diesel's plain connection has this transaction manager; those of r2d2, and
/// of anything else that wraps one, have another.
fn is_pooled<C: NamedLockConnection + 'static>() -> bool {
    TypeId::of::<C::TransactionManager>() != TypeId::of::<AnsiTransactionManager>()
}

/// How long the lock of [`database_lock`] outlives a client from which the server hears nothing: 5 seconds.
///
/// It counts between two statements only: a statement may run for hours. It is there for a host that vanishes, and for a
/// `KILL QUERY` that strikes a [batch](self#batches-and-kill-query).
///
/// A migration in Rust that computes for longer without touching its connection would lose the lock, and its connection. For
/// such a one, call [`run_pending`] under a lock with a longer bound:
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

/// The lock that [`MigrationExt`] takes: one for each database of a server, so that applications on different databases don't
/// wait for each other. Asks the server for the name of the current one.
///
/// Letter case does not count: `Shop` and `shop`, which on some systems are one database, share it. Its
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
/// [`MigrationError::NoDatabase`]; [`MigrationError::Unplanned`] where the server can't be asked.
pub fn database_lock<C: NamedLockConnection>(conn: &mut C) -> Result<NamedLock, MigrationError> {
    let database = ready(database::current::<Blocking, C>(conn));
    let database = database.map_err(|failed| MigrationError::unplanned(failed.error))?;
    let database = folded(&database.ok_or(MigrationError::NoDatabase)?);
    let lock = NamedLock::new(LockName::hashed(&format!("diesel-migrations:{database}")))?;
    Ok(lock.idle_limit(IDLE_LIMIT))
}
