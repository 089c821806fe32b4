//! The error of fencing tokens.

use super::FencingToken;
use crate::{
    error::{NamedLockError, recover},
    name::LockName,
};

type Diesel = diesel::result::Error;

/// The error of a token that could not be issued, or was refused.
///
/// A closure that calls [`next_token`](super::next_token), and a transaction around [`check`](super::check), can return it: `?` converts
/// Diesel's errors into it. It can also be put into Diesel's error and recovered from there, as [`NamedLockError`] can.
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
    /// An error of the lock or of its name.
    #[error(transparent)]
    Lock(#[from] NamedLockError),

    /// There is no table for the tokens: the current database lacks it, this account may not use it, or there is no current
    /// database.
    #[error(
        "no fencing token for named lock `{name}`: the current database has no table `named_lock_fences` that this account \
         may write to: {source}; run the migration \
         `00000000000001-namedlock_create_named_lock_fences` (`diesel_named_lock::migration::MIGRATIONS`, feature `migrations`)"
    )]
    #[non_exhaustive]
    NoTable {
        /// The lock.
        name: LockName,
        /// The server's error.
        r#source: Diesel,
    },

    /// The lock is held, but no token could be issued. A token may have been spent.
    #[error(
        "no fencing token for named lock `{name}`: {source}; try again, unless this account lacks the right to insert \
         into `named_lock_fences` and to update it"
    )]
    #[non_exhaustive]
    NoToken {
        /// The lock.
        name: LockName,
        /// The server's error. If a transaction that checked a token took too long, that is its `innodb_lock_wait_timeout`.
        r#source: Diesel,
    },

    /// A token was asked for inside a transaction. If that were rolled back, the token would be issued again. No I/O took place.
    #[error(
        "no fencing token for named lock `{name}` inside a transaction: get the token first, then begin the transaction"
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

    /// A check outside a transaction: a newer token could be issued right after it. No I/O took place.
    #[error(
        "check of a fencing token of named lock `{name}` refused outside a transaction, where it would prove nothing: call it \
         in the transaction that writes"
    )]
    #[non_exhaustive]
    NoTransaction {
        /// The lock.
        name: LockName,
    },

    /// Another holder has had the lock since. What was read under this token may be outdated. Write nothing.
    #[error(
        "fencing token {token} of named lock `{name}` is stale, {current} has been issued since: this holder has lost \
         its lock and must not write; acquire the lock again and start over"
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

    /// This database has not issued such a token. The token is of another lock or another database, or tokens were lost here, for
    /// example because an old backup was restored. Write nothing.
    #[error(
        "fencing token {token} of named lock `{name}` was never issued in this database (the newest: {}): check \
         whether it is of another lock or database, or whether an old backup was restored",
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

    /// An error of the closure itself, of a transaction's `BEGIN` or `COMMIT`, or of a check that got no answer.
    #[error(transparent)]
    Database(Diesel),
}

/// For `?` in the closure. An error of this crate inside Diesel's error becomes itself again.
impl From<Diesel> for FenceError {
    fn from(error: Diesel) -> Self {
        recover(error, |error| match NamedLockError::from(error) {
            NamedLockError::Database(error) => Self::Database(error),
            lock => Self::Lock(lock),
        })
    }
}

/// For code that returns Diesel's error. Errors that were Diesel's become what they were. Every other error is put into a
/// [`QueryBuilderError`](diesel::result::Error::QueryBuilderError).
impl From<FenceError> for Diesel {
    fn from(error: FenceError) -> Self {
        match error {
            FenceError::Database(error) => error,
            FenceError::Lock(error) => error.into(),
            error => Self::QueryBuilderError(Box::new(error)),
        }
    }
}
