//! Getting rid of a lock whose holder does not let go.

use super::protocol;
use crate::{
    driver::{
        blocking::{Blocking, ready},
        status::NamedLockConnection,
    },
    holder::SessionInfo,
    name::LockName,
    operator_error::OperatorError,
};

/// Ends the session that holds the named lock, whatever it is doing, and says which one it was; `None` where none held it.
///
/// **For an operator, and dangerous.** The holder's program is not asked. Its open transaction is rolled back, its other named
/// locks are freed, too, and the next waiter gets the lock at once, while the work of the broken section may still be going
/// on: it learns only from its next statement, or at its end by [`NamedLockError::Lost`](crate::NamedLockError::Lost), that
/// it is no longer alone. Stop the program first, if you can.
///
/// The session is looked up, seen to hold the lock still, and killed, until it is seen to hold it no more. When this returns
/// `Ok`, that session does not hold the lock; another one may.
///
/// # What it does not promise
///
/// Between the last look and the `KILL` the session may have let go by itself; it is ended all the same, out of whatever it
/// does by then. It is never another session: a server does not give a connection id twice while it runs.
///
/// ```no_run
/// # use diesel::MysqlConnection;
/// use diesel_named_lock::{LockName, operator::{OperatorError, break_lock}};
///
/// # fn unblock(conn: &mut MysqlConnection, name: &LockName) -> Result<(), OperatorError> {
/// match break_lock(conn, name)? {
///     Some(holder) => println!("ended {holder}"),
///     None => println!("`{name}` was free"),
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// * [`OperatorError::HeldHere`] where `conn` itself holds the lock; nothing was done.
/// * [`OperatorError::Denied`], after a second, where this account may not end sessions of another: that needs
///   `CONNECTION_ADMIN` (MySQL; and `SYSTEM_USER`, where the holder's account has it), `CONNECTION ADMIN` (MariaDB), or on
///   old versions `SUPER`. Nothing was ended. For sessions of its own account it needs nothing.
/// * [`OperatorError::Database`] where the session was told to end, but holds the lock a second later: it may be rolling
///   back. Try again.
pub fn break_lock<C: NamedLockConnection>(conn: &mut C, name: &LockName) -> Result<Option<SessionInfo>, OperatorError> {
    ready(protocol::break_lock::<Blocking, C>(conn, name))
}
