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
//! [`next_token`] returns a token that is larger than all before it for this lock. It goes
//! along with each write, and the other system remembers the newest that it has seen:
//!
//! ```
//! use diesel_named_lock::fence::FencingToken;
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
//! the migration `2026-11-23-120000-namedlock_create_named_lock_fences`: run `diesel_named_lock::migration::MIGRATIONS` (feature
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
pub(crate) mod protocol;

use std::fmt;

pub use self::error::FenceError;
#[cfg(feature = "blocking")]
use crate::{
    driver::{
        blocking::{Blocking, ready},
        status::NamedLockConnection,
    },
    error::NamedLockError,
    name::LockName,
};

/// Says how the holders of one lock came one after the other: a later one has a larger token, never the same.
///
/// Returned by [`next_token`], or made from a number that comes back from elsewhere.
///
/// ```
/// use diesel_named_lock::fence::FencingToken;
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
    /// # use diesel_named_lock::fence::FencingToken;
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

/// Returns the next token of a named lock that this session holds. To be called in a section on that lock, before the work.
///
/// The token is committed when this returns: it is spent, even if the work fails, panics, or rolls back. Whatever raw SQL has
/// begun before in this session is committed, too. Three round trips when warm.
///
/// A transaction that has called [`check`] for this lock holds the token up until it ends, for at most
/// `innodb_lock_wait_timeout`. So never wait for a token from within such a transaction on another connection.
///
/// ```no_run
/// # use std::time::Duration;
/// # use diesel::MysqlConnection;
/// # use diesel_named_lock::fence::FencingToken;
/// use diesel_named_lock::{NamedLockExt, fence::{self, FenceError}};
///
/// # fn upload(_: &str, _: FencingToken) {}
/// # fn render(_: &mut MysqlConnection) -> Result<String, FenceError> { Ok(String::new()) }
/// # fn publish(conn: &mut MysqlConnection) -> Result<(), FenceError> {
/// conn.with_named_lock("nightly-report", Duration::from_secs(10), |conn| {
///     let token = fence::next_token(conn, "nightly-report")?;
///     let report = render(conn)?;
///     upload(&report, token);
///     Ok(())
/// })
/// # }
/// ```
///
/// # Errors
///
/// * [`NamedLockError::InvalidName`] and [`FenceError::InTransaction`], before any I/O.
/// * [`FenceError::NotHeld`] if this session does not hold the lock. A token may have been spent.
/// * [`FenceError::NoTable`], [`FenceError::NoToken`].
#[cfg(feature = "blocking")]
pub fn next_token<C: NamedLockConnection>(
    conn: &mut C,
    name: impl TryInto<LockName, Error: Into<NamedLockError>>,
) -> Result<FencingToken, FenceError> {
    ready(protocol::next_token::<Blocking, C>(conn, name.try_into().map_err(Into::into)?))
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
/// # use diesel_named_lock::fence::FencingToken;
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
#[cfg(feature = "blocking")]
pub fn check<C: NamedLockConnection>(
    conn: &mut C,
    name: impl TryInto<LockName, Error: Into<NamedLockError>>,
    token: FencingToken,
) -> Result<(), FenceError> {
    ready(protocol::check::<Blocking, C>(conn, name.try_into().map_err(Into::into)?, token))
}
