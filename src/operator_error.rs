//! Why an operator can't see, or can't do, what was asked for.

use crate::{connection_id::ConnectionId, name::LockName};

type Diesel = diesel::result::Error;

/// Why [`named_locks`](crate::operator::named_locks) or [`break_lock`](crate::operator::break_lock) could not do what was asked, with the very
/// statement that an administrator of the server has to run.
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
    /// The server does not list its named locks at present: a plugin is missing, or a part of the Performance Schema is
    /// switched off.
    #[error("this server does not list its named locks, because {reason}: {remedy}")]
    #[non_exhaustive]
    ListUnavailable {
        /// What is missing or switched off.
        reason: &'static str,
        /// What switches it on: a statement, or a line of the server's configuration.
        remedy: &'static str,
    },

    /// This account lacks a privilege.
    #[error("this account may not {what}; an administrator can allow it: {grant}")]
    #[non_exhaustive]
    Denied {
        /// What was refused.
        what: &'static str,
        /// The `GRANT` for this account, ready to be run.
        grant: String,
        /// The server's answer.
        source: Diesel,
    },

    /// The lock to be broken is held by the very connection that was to break it. Nothing was done.
    #[error(
        "named lock `{name}` is held by this very connection {connection_id}: end its section instead of breaking it"
    )]
    #[non_exhaustive]
    HeldHere {
        /// The lock.
        name: LockName,
        /// The session that holds it: the caller's own.
        connection_id: ConnectionId,
    },

    /// Anything else that Diesel or the server says.
    #[error(transparent)]
    Database(#[from] Diesel),
}
