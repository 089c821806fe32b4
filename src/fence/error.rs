//! What can go wrong with fencing tokens, and what to do about it.

use super::FencingToken;
use crate::{error::NamedLockError, name::LockName};

type Diesel = diesel::result::Error;

/// Why there is no token, or why one is refused.
///
/// Can be the error of a closure that calls [`next_token`](super::next_token), and of a transaction around
/// [`check`](super::check): Diesel's errors come into it by `?`. For work whose error is Diesel's own, it travels inside
/// that, as [`NamedLockError`] does.
///
/// ```
/// use diesel_named_lock::fence::FenceError;
///
/// fn must_stop(error: &FenceError) -> bool {
///     matches!(error, FenceError::Stale { .. } | FenceError::Unknown { .. })
/// }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FenceError {
    /// What went wrong with the lock, or its name.
    #[error(transparent)]
    Lock(#[from] NamedLockError),

    /// The current database has no table for the tokens, or this account has no right to use it, or there is no current
    /// database. The work has not run.
    #[error(
        "no fencing token for named lock `{name}`: the current database has no table `named_lock_fences` that this account \
         may write to: {source}; run the migration \
         `2026-11-23-120000-namedlock_create_named_lock_fences` (`diesel_named_lock::migration::MIGRATIONS`, feature `migrations`)"
    )]
    #[non_exhaustive]
    NoTable {
        /// The lock.
        name: LockName,
        /// What the server said.
        source: Diesel,
    },

    /// The lock was had, but no token. The work has not run, the lock was released; a token may have been spent.
    #[error(
        "no fencing token for named lock `{name}`: {source}; try again, unless this account lacks the right to insert \
         into `named_lock_fences` and to update it"
    )]
    #[non_exhaustive]
    NoToken {
        /// The lock.
        name: LockName,
        /// What the server said: its `innodb_lock_wait_timeout`, where a transaction that checked a token took too long.
        source: Diesel,
    },

    /// A token is to be taken inside a transaction: it would be given out again if that is rolled back. Found before any I/O.
    #[error(
        "no fencing token for named lock `{name}` inside a transaction: take the token first, then begin the transaction"
    )]
    #[non_exhaustive]
    InTransaction {
        /// The lock.
        name: LockName,
    },

    /// The session that asked for a token does not hold the lock.
    #[error(
        "no fencing token for named lock `{name}`: this session does not hold it; call `next_token` in its section"
    )]
    #[non_exhaustive]
    NotHeld {
        /// The lock.
        name: LockName,
    },

    /// A check outside of a transaction: the next moment, a newer token could be given out. Found before any I/O.
    #[error(
        "a check of a fencing token of named lock `{name}` is worth nothing outside of a transaction: call it in the \
         transaction that writes"
    )]
    #[non_exhaustive]
    NoTransaction {
        /// The lock.
        name: LockName,
    },

    /// Somebody else has had the lock since: what was read under it may be out of date. Write nothing.
    #[error(
        "fencing token {token} of named lock `{name}` is stale, {current} has been given out since: this holder has lost \
         its lock and must not write; take the lock again and begin anew"
    )]
    #[non_exhaustive]
    Stale {
        /// The lock.
        name: LockName,
        /// The token that was checked.
        token: FencingToken,
        /// The newest one.
        current: FencingToken,
    },

    /// This database has not given out such a token: it is of another lock or another database, or tokens were lost here, by
    /// an old backup, say. Write nothing.
    #[error(
        "fencing token {token} of named lock `{name}` was never given out in this database (the newest: {}): is it of \
         another lock or database, or was an old backup restored?",
        .current.map_or("none".to_owned(), |current| current.to_string())
    )]
    #[non_exhaustive]
    Unknown {
        /// The lock.
        name: LockName,
        /// The token that was checked.
        token: FencingToken,
        /// The newest one, if there is any.
        current: Option<FencingToken>,
    },

    /// An error of the work's own, of a transaction's `BEGIN` or `COMMIT`, or of a check that got no answer.
    #[error(transparent)]
    Database(Diesel),
}

/// For `?` in the work. An error of ours that travelled inside Diesel's comes out as it was.
impl From<Diesel> for FenceError {
    fn from(error: Diesel) -> Self {
        match error {
            Diesel::QueryBuilderError(inner) => match inner.downcast() {
                Ok(ours) => *ours,
                Err(inner) => match NamedLockError::from(Diesel::QueryBuilderError(inner)) {
                    NamedLockError::Database(error) => Self::Database(error),
                    lock => Self::Lock(lock),
                },
            },
            error => Self::Database(error),
        }
    }
}

/// For code whose error is Diesel's own: travels inside
/// [`QueryBuilderError`](diesel::result::Error::QueryBuilderError), except for what was Diesel's before.
impl From<FenceError> for Diesel {
    fn from(error: FenceError) -> Self {
        match error {
            FenceError::Database(error) => error,
            FenceError::Lock(error) => error.into(),
            error => Self::QueryBuilderError(Box::new(error)),
        }
    }
}
