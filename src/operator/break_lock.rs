//! Killing the session that holds a lock.

use super::protocol;
use crate::{
    connection_id::ConnectionId,
    driver::{
        blocking::{Blocking, ready},
        status::NamedLockConnection,
    },
    holder::SessionInfo,
    name::LockName,
    operator_error::OperatorError,
};

/// Kills the session that holds the named lock, and returns its description. Returns `None` if no session held the lock.
///
/// **For an operator, and dangerous.** The holder's program is not asked. Its open transaction is rolled back, and its other named
/// locks are freed, too. The next waiter gets the lock at once, while the closure of the broken section may still run. That closure
/// learns only from its next statement, or at its end by [`NamedLockError::Lost`](crate::NamedLockError::Lost), that it is no longer
/// alone. Stop the program first, if you can.
///
/// The session is looked up, checked to still hold the lock, and killed, until it no longer holds the lock. When this function returns
/// `Ok`, that session does not hold the lock. Another session may.
///
/// # What it does not promise
///
/// Permits and shared locks have other names than the one that they were made with: see [`named_locks`](super::named_locks).
///
/// Between the last check and the `KILL`, the session may have released the lock by itself. It is killed nevertheless, whatever it does
/// at that moment. It is never another session: a server does not reuse a connection id while it runs.
///
/// ```no_run
/// # use diesel::MysqlConnection;
/// use diesel_named_lock::{LockName, operator::{OperatorError, break_lock}};
///
/// # fn unblock(conn: &mut MysqlConnection, name: &LockName) -> Result<(), OperatorError> {
/// match break_lock(conn, name)? {
///     Some(holder) => println!("killed {holder}"),
///     None => println!("`{name}` was free"),
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// * Returns [`OperatorError::HeldHere`] if `conn` itself holds the lock. Nothing was done.
/// * Returns [`OperatorError::Denied`], after a second, if this account may not kill the session. To kill sessions of another account, it
///   needs `CONNECTION_ADMIN` (MySQL; also `SYSTEM_USER`, if the holder's account has it), `CONNECTION ADMIN` (MariaDB), or `SUPER` (old
///   versions). To kill sessions of its own account, it needs no privilege. Nothing was killed.
/// * Returns [`OperatorError::Database`] if the session was killed, but still holds the lock a second later. It may be rolling back. Try
///   again.
pub fn break_lock<C: NamedLockConnection>(conn: &mut C, name: &LockName) -> Result<Option<SessionInfo>, OperatorError> {
    ready(protocol::break_lock::<Blocking, C>(conn, name))
}

/// Kills this session if it holds the named lock, and returns whether it did. Like [`break_lock`], for a holder that was looked up before:
/// no other session is killed, even if the lock has passed on.
///
/// ```no_run
/// # use diesel::MysqlConnection;
/// use diesel_named_lock::{LockName, operator::{OperatorError, kill_holder}};
///
/// # fn unblock(conn: &mut MysqlConnection, name: &LockName) -> Result<(), OperatorError> {
/// let Some(holder) = name.holder(conn)? else { return Ok(()) };
/// println!("held by {holder}");
/// if !kill_holder(conn, name, holder.connection_id)? {
///     println!("that session no longer holds `{name}`");
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// Returns the errors of [`break_lock`].
pub fn kill_holder<C: NamedLockConnection>(
    conn: &mut C,
    name: &LockName,
    connection_id: ConnectionId,
) -> Result<bool, OperatorError> {
    ready(protocol::kill_holder::<Blocking, C>(conn, name, connection_id))
}
