//! Fencing tokens: writes that come too late are refused.
//!
//! A named lock can't stop a holder that was paused (a long garbage collection, swapping, a virtual machine that was moved),
//! lost its session meanwhile, and then writes somewhere else: into a file store, a queue, another database. Nobody
//! can tell it in time. But the other system can refuse the write, if it is told who was first:
//!
//! ```text
//! holder A   lock ─ token 33 ─ paused ·······························─ write, 33 ─▶ refused: 34 was here
//!                                  ▲ its session ends
//! holder B                           lock ─ token 34 ─ write, 34 ─▶ accepted: the newest so far
//! ```
//!
//! [`with_fenced_lock`](FenceExt::with_fenced_lock) hands out a token that is larger than all before it for this lock. It goes
//! along with each write, and the other system remembers the newest that it has seen:
//!
//! ```
//! use diesel_named_lock::FencingToken;
//!
//! #[derive(Default)]
//! struct Report {
//!     text: String,
//!     written_with: Option<FencingToken>,
//! }
//!
//! impl Report {
//!     fn write(&mut self, token: FencingToken, text: &str) -> Result<(), String> {
//!         // Equal is fine: one holder may write more than once.
//!         if self.written_with > Some(token) {
//!             return Err(format!("token {token} is too old"));
//!         }
//!         (self.text, self.written_with) = (text.to_owned(), Some(token));
//!         Ok(())
//!     }
//! }
//!
//! let mut report = Report::default();
//! report.write(34.into(), "by B")?;
//! assert!(report.write(33.into(), "by A, too late").is_err());
//! # Ok::<_, String>(())
//! ```
//!
//! In another SQL database that is `UPDATE report SET text = ?, token = ? WHERE id = ? AND token <= ?`, and a look at the
//! number of rows. For writes to this same database from another connection, there is [`check`]. (What is written on the
//! locked connection itself needs neither: it fails once the session has ended.)
//!
//! # The table
//!
//! The last token of each lock is kept in the table `named_lock_fences` of the connection's current database. It is made by
//! the migration `2026-11-23-120000-namedlock_create_named_lock_fences`: run `diesel_named_lock::MIGRATIONS` (feature
//! `migrations`), or copy the SQL from this crate's folder `migrations/`.
//!
//! # What it does not promise
//!
//! * **Who does not compare is not protected.** A token does nothing by itself.
//! * **Tokens of different databases can't be compared.** A lock is the server's, a table is the database's: all who share
//!   the lock must have the same current database.
//! * **Tokens are as durable as the server's commits.** They outlast a crash of the server (our test
//!   `tokens_go_on_where_they_were_after_a_crash_and_a_restart_of_the_server`), but with `innodb_flush_log_at_trx_commit` other than 1 not
//!   a power failure (MySQL manual, "InnoDB Startup Options"), and not a replica that takes over without the last
//!   commits, an old backup, or a table dropped and made again. Where that has happened, raise them before anybody locks:
//!   `UPDATE named_lock_fences SET token = token + 1000000`.
//! * **Letter case does not count**: `Report` and `report`, one lock on MySQL, have one row of tokens on MariaDB, too, where
//!   they are two locks. That refuses more than it must, never less.
//! * **Inside Diesel's test transaction**, tokens are rolled back with it.
//! * **A transaction that raw SQL has begun** (`batch_execute("BEGIN")`, or any statement after `SET autocommit = 0`) is
//!   committed before the token is given out: the token must be committed before the work begins. If `KILL QUERY` strikes
//!   that commit, it may be a rollback, without an error: on MariaDB, if it waited for a backup. So commit before the call.

mod error;

use std::{fmt, time::Duration};

use diesel::result::Error as Diesel;

pub use self::error::FenceError;
use crate::{
    driver::{self, MysqlSession},
    error::NamedLockError,
    lock::{NamedLock, outcome},
    name::{self, LockName},
    statement::{ask_again::Failed, fence},
};

/// Says how the holders of one lock came one after the other: a later one has a larger token, never the same.
///
/// Got from [`FenceExt::with_fenced_lock`]; made of a number where it comes back from elsewhere.
///
/// ```
/// use diesel_named_lock::FencingToken;
///
/// let token = FencingToken::from(33);
/// assert!(token < FencingToken::from(34));
/// assert_eq!((token.get(), token.to_string()), (33, "33".to_owned()));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FencingToken(u64);

impl FencingToken {
    /// The number, to give to the other system. The first is 1.
    ///
    /// ```
    /// # use diesel_named_lock::FencingToken;
    /// let header = ("X-Fencing-Token", FencingToken::from(33).get());
    /// ```
    #[must_use]
    pub fn get(self) -> u64 {
        self.0
    }
}

impl From<u64> for FencingToken {
    fn from(number: u64) -> Self {
        Self(number)
    }
}

impl fmt::Display for FencingToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Sections whose late writes can be refused: see [the module](self).
pub trait FenceExt: MysqlSession {
    /// Like [`with_named_lock`](crate::NamedLockExt::with_named_lock), with a [`FencingToken`] for the work.
    ///
    /// The token is committed before the work begins: it is spent, even if the work fails, panics, or rolls back. That is
    /// three round trips more than a plain section; one more in a session without autocommit. If `KILL QUERY` strikes one of
    /// its statements, another token is taken, up to 20 times: a token that is spent twice does no harm.
    ///
    /// `timeout` is for the lock only. A transaction that has called [`check`] for this lock holds the token up until it
    /// ends, for at most `innodb_lock_wait_timeout`. So never call this from within one: on its own connection it is an
    /// [`OpenTransaction`](NamedLockError::OpenTransaction), but on a second one the thread would wait for itself.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # use diesel::MysqlConnection;
    /// # use diesel_named_lock::FencingToken;
    /// use diesel_named_lock::{FenceExt, fence::FenceError};
    ///
    /// # fn upload(_: &str, _: FencingToken) {}
    /// # fn render(_: &mut MysqlConnection) -> Result<String, FenceError> { Ok(String::new()) }
    /// # fn publish(conn: &mut MysqlConnection) -> Result<(), FenceError> {
    /// conn.with_fenced_lock("nightly-report", Duration::from_secs(10), |conn, token| {
    ///     let report = render(conn)?;
    ///     upload(&report, token);
    ///     Ok(())
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// What `work` returns as `Err`. Otherwise, by `E::from`: [`FenceError::Lock`]; and without the work having run,
    /// [`FenceError::NoTable`] and [`FenceError::NoToken`].
    fn with_fenced_lock<N, T, E, F>(&mut self, name: N, timeout: Duration, work: F) -> Result<T, E>
    where
        N: TryInto<LockName>,
        NamedLockError: From<N::Error>,
        E: From<FenceError>,
        F: FnOnce(&mut Self, FencingToken) -> Result<T, E>,
    {
        let lock = NamedLock::new(name).map_err(FenceError::Lock)?.timeout(timeout);
        let fenced = |conn: &mut Self| {
            let token = next_token(conn, &lock.names()[0])?;
            work(conn, token)
        };
        let section = lock.section(self, fenced).map_err(FenceError::Lock)?;
        outcome(section, |lost| FenceError::Lock(lost).into())
    }
}

impl<C: MysqlSession> FenceExt for C {}

fn next_token<C: MysqlSession>(conn: &mut C, name: &LockName) -> Result<FencingToken, FenceError> {
    let number = fence::next_token(conn, &key(name));
    number
        .map(FencingToken)
        .map_err(|failed| explain(failed, name, |name, source| FenceError::NoToken { name, source }))
}

/// Whether `token` is still the newest of this lock: for work that holds the lock on one connection, and writes to this same
/// database on another.
///
/// To be called inside the writer's transaction, before it reads or writes anything else. From then on until that ends, no
/// newer token is given out: the next holder waits, and then sees what was written. Other checks of this lock wait, too.
///
/// Transactions that check more than one lock may wait for each other in a circle, which the server ends with an error
/// (Diesel's [`SerializationFailure`](diesel::result::DatabaseErrorKind::SerializationFailure)): check in one order. On
/// MySQL, the account needs the right to update the table, for the row is locked.
///
/// ```no_run
/// # use diesel::{MysqlConnection, prelude::*};
/// # use diesel_named_lock::FencingToken;
/// use diesel_named_lock::fence::{self, FenceError};
///
/// fn write(other: &mut MysqlConnection, token: FencingToken) -> Result<(), FenceError> {
///     other.transaction(|other| {
///         fence::check(other, "nightly-report", token)?;
///         diesel::sql_query("INSERT INTO reports VALUES (CURRENT_DATE, 17)").execute(other)?;
///         Ok(())
///     })
/// }
/// ```
///
/// # Errors
///
/// [`FenceError::Stale`], [`FenceError::Unknown`], [`FenceError::NoTable`]; [`FenceError::NoTransaction`] and
/// [`NamedLockError::InvalidName`], before any I/O; [`FenceError::Database`] for anything else that the server says.
pub fn check<C, N>(conn: &mut C, name: N, token: FencingToken) -> Result<(), FenceError>
where
    C: MysqlSession,
    N: TryInto<LockName>,
    NamedLockError: From<N::Error>,
{
    let name: LockName = name.try_into().map_err(NamedLockError::from)?;
    if driver::depth(conn)? == 0 {
        return Err(FenceError::NoTransaction { name });
    }
    let current = fence::locked_token(conn, &key(&name));
    let current = current.map_err(|failed| explain(failed, &name, |_, source| FenceError::Database(source)))?;
    match current.map(FencingToken) {
        Some(current) if current == token => Ok(()),
        Some(current) if current > token => Err(FenceError::Stale { name, token, current }),
        current => Err(FenceError::Unknown { name, token, current }),
    }
}

/// The same for all names that are one lock on MySQL.
fn key(name: &LockName) -> Vec<u8> {
    name::folded(name.as_str()).into_bytes()
}

/// `other`: an error that is not a missing table.
fn explain(failed: Failed, name: &LockName, other: impl FnOnce(LockName, Diesel) -> FenceError) -> FenceError {
    match failed.is_no_table() {
        true => FenceError::NoTable { name: name.clone(), source: failed.error },
        false => other(name.clone(), failed.error),
    }
}
