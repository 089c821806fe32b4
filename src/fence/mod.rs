//! Fencing tokens: writes that come too late are refused.
//!
//! A named lock can't stop a holder that was paused (by swapping, or while its virtual machine was moved), lost its session during the
//! pause, and then writes to another system: a file store, a queue, another database. Nothing can warn the holder in time. But the other
//! system can refuse the write, if it learns which holder came later:
//!
//! ```text
//! holder A   lock ─ token 33 ─ paused ·······························─ write, 33 ─▶ refused: 34 was here
//!                                  ▲ its session is killed
//! holder B                           lock ─ token 34 ─ write, 34 ─▶ accepted: the newest so far
//! ```
//!
//! [`next_token`] returns a token that is larger than all earlier tokens of this lock. Send it with each write. The other system remembers
//! the newest token that it has seen:
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
//! In another SQL database, that is `UPDATE report SET text = ?, token = ? WHERE id = ? AND token <= ?`, and a check of the number of
//! rows. For writes to this same database on another connection, use [`check`]. Writes on the locked connection itself need neither: they
//! fail once the session is gone.
//!
//! # The table
//!
//! The last token of each lock is kept in the table `named_lock_fences` of the connection's current database. It is created by the migration
//! `00000000000001-namedlock_create_named_lock_fences`: run `diesel_named_lock::migration::MIGRATIONS` (feature
//! `migrations`), or copy the SQL from this crate's folder `migrations/`.
//!
//! # What it does not promise
//!
//! * **A system that does not compare tokens is not protected.** A token does nothing by itself.
//! * **Tokens of different databases can't be compared.** A lock belongs to the server, a table to a database. So all programs that share
//!   the lock must have the same current database.
//! * **Tokens are as durable as the server's commits.** They survive a crash of the server. They may not survive a power failure if
//!   `innodb_flush_log_at_trx_commit` is not 1 (MySQL manual, "InnoDB Startup Options"), a failover to a replica that lacks the last
//!   commits, an old backup, or a table that was dropped and created again. If that has happened, raise them before any program acquires
//!   the lock: `UPDATE named_lock_fences SET token = token + 1000000`.
//! * **Letter case does not count.** `Report` and `report` are two locks on MariaDB, but share one row of tokens, as on MySQL, where they
//!   are one lock. That refuses more than necessary, never less.
//! * **Inside Diesel's test transaction**, tokens are rolled back with it.
//! * **A transaction that raw SQL has begun** (`batch_execute("BEGIN")`, or any statement after `SET autocommit = 0`) is
//!   committed before the token is issued, because the token must be committed before you use it. If `KILL QUERY` strikes that commit, it
//!   may become a rollback without an error: on MariaDB, if it waited for a backup. So commit before the call.

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

/// A number that orders the holders of one lock: a later holder has a larger token, never the same one.
///
/// Returned by [`next_token`], or converted from a number that another system stored.
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
    /// Returns the number, to be sent to the other system. The first is 1.
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

/// Returns the next token of a named lock that this session holds. Call it first in the closure of a section on that lock.
///
/// The token is committed when this function returns. So it is spent, even if the closure fails, panics, or rolls back. A transaction that
/// raw SQL has begun in this session is committed, too. Three round trips when warm.
///
/// A transaction that has called [`check`] for this lock delays the token until that transaction ends, for at most
/// `innodb_lock_wait_timeout`. So never wait for a token inside such a transaction on another connection.
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
/// * Returns [`NamedLockError::InvalidName`] or [`FenceError::InTransaction`], before any I/O.
/// * Returns [`FenceError::NotHeld`] if this session does not hold the lock. A token may have been spent.
/// * Returns [`FenceError::NoTable`] or [`FenceError::NoToken`] if no token can be issued.
#[cfg(feature = "blocking")]
pub fn next_token<C: NamedLockConnection>(
    conn: &mut C,
    name: impl TryInto<LockName, Error: Into<NamedLockError>>,
) -> Result<FencingToken, FenceError> {
    ready(protocol::next_token::<Blocking, C>(conn, name.try_into().map_err(Into::into)?))
}

/// Checks that `token` is still the newest token of this lock. For a closure that holds the lock on one connection and writes to this same
/// database on another.
///
/// Call it inside the writer's transaction, before it reads or writes anything else. Until that transaction ends, no newer token is issued:
/// the next holder waits, and then sees what was written. Other checks of this lock wait, too.
///
/// Transactions that check several locks may wait for each other in a circle. The server ends that with an error (Diesel's
/// [`SerializationFailure`](diesel::result::DatabaseErrorKind::SerializationFailure)). To avoid it, always check in the same order. On
/// MySQL, the account needs the right to update the table, because the row is locked.
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
/// * Returns [`FenceError::NoTransaction`] or [`NamedLockError::InvalidName`], before any I/O.
/// * Returns [`FenceError::Stale`] or [`FenceError::Unknown`] if the token is not the newest one.
/// * Returns [`FenceError::NoTable`] if there is no table for the tokens, and [`FenceError::Database`] for any other error of the server.
#[cfg(feature = "blocking")]
pub fn check<C: NamedLockConnection>(
    conn: &mut C,
    name: impl TryInto<LockName, Error: Into<NamedLockError>>,
    token: FencingToken,
) -> Result<(), FenceError> {
    ready(protocol::check::<Blocking, C>(conn, name.try_into().map_err(Into::into)?, token))
}
