//! The error of the operator's functions.

use crate::{connection_id::ConnectionId, name::LockName};

type Diesel = diesel::result::Error;

/// The error of [`named_locks`](crate::operator::named_locks) and [`break_lock`](crate::operator::break_lock), with the statement that an
/// administrator of the server has to run.
///
/// ```no_run
/// # use diesel::MysqlConnection;
/// use diesel_named_lock::operator::{OperatorError, named_locks};
///
/// # fn show(conn: &mut MysqlConnection) -> Result<(), OperatorError> {
/// match named_locks(conn) {
///     Ok(seen) => println!("{} named locks are held", seen.locks.len()),
///     Err(OperatorError::ListUnavailable { remedy, .. }) => println!("first do this: {remedy}"),
///     Err(error) => return Err(error),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OperatorError {
    /// The server does not list its named locks: a plugin is missing, or a part of the Performance Schema is switched off.
    #[error("list of named locks is not available on this server, because {reason}: {remedy}")]
    #[non_exhaustive]
    ListUnavailable {
        /// What is missing or switched off.
        reason: &'static str,
        /// A statement, or a line of the server's configuration, that switches it on.
        remedy: &'static str,
    },

    /// This account lacks a privilege.
    #[error("account may not {what}; an administrator can allow it: {grant}")]
    #[non_exhaustive]
    Denied {
        /// What this account may not do.
        what: &'static str,
        /// The `GRANT` for this account, ready to be run.
        grant: String,
        /// The server's error.
        source: Diesel,
    },

    /// The connection that was to break the lock holds the lock itself. Nothing was done.
    #[error(
        "named lock `{name}` is held by this same connection, {connection_id}: end its section instead of breaking the lock"
    )]
    #[non_exhaustive]
    HeldHere {
        /// The lock.
        name: LockName,
        /// The session that holds it: the caller's own.
        connection_id: ConnectionId,
    },

    /// Any other error of Diesel or the server.
    #[error(transparent)]
    Database(#[from] Diesel),
}
