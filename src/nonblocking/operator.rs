//! For operators, on async connections: the functions and types of [`operator`](crate::operator).
//!
//! If one of the futures is dropped, its connection is marked broken, so that its pool closes it.

#![expect(clippy::manual_async_fn, reason = "`Send` is part of the signature, also for generic callers")]

use diesel::result::QueryResult;

use super::{
    NamedLock, NamedLockConnection,
    unfinished::{finished, unfinished},
};
pub use crate::operator::{
    FamilyHolder, FamilyKind, Finding, GroupedLocks, LockFamily, LockState, NamedLocks, OperatorError, Product,
    ServerReport, Severity, Topic,
};
use crate::{
    connection_id::ConnectionId,
    driver::nonblocking::Nonblocking,
    holder::SessionInfo,
    name::LockName,
    operator::protocol,
    section::ask::{describe_holder, who_holds},
};

/// Returns whether this lock is free at this moment, like [`LockName::is_free`]. One round trip.
///
/// # Errors
///
/// Returns Diesel's error if the server does not answer.
pub fn is_free<C: NamedLockConnection>(
    conn: &mut C,
    name: &LockName,
) -> impl Future<Output = QueryResult<bool>> + Send {
    async move {
        let mut conn = unfinished(conn);
        let found = who_holds::<Nonblocking, C>(&mut conn, name).await;
        finished(conn, found.map(|found| found.is_free()))
    }
}

/// Returns the session that holds this lock at this moment, like [`LockName::holder`]. `None` if the lock is free.
///
/// ```no_run
/// # use diesel_async::AsyncMysqlConnection;
/// use diesel_named_lock::{LockName, nonblocking::operator::holder};
///
/// # async fn show(conn: &mut AsyncMysqlConnection) -> Result<(), Box<dyn std::error::Error>> {
/// if let Some(holder) = holder(conn, &LockName::new("nightly-report")?).await? {
///     println!("being made by {holder}");
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// Returns Diesel's error if the server does not answer.
pub fn holder<C: NamedLockConnection>(
    conn: &mut C,
    name: &LockName,
) -> impl Future<Output = QueryResult<Option<SessionInfo>>> + Send {
    async move {
        let mut conn = unfinished(conn);
        let holder = describe_holder::<Nonblocking, C>(&mut conn, name).await;
        finished(conn, holder)
    }
}

/// Returns the sessions that hold this lock at this moment, each once, like [`NamedLock::holders`](crate::NamedLock::holders). It is empty if
/// the lock is free.
///
/// ```no_run
/// # use diesel_async::AsyncMysqlConnection;
/// use diesel_named_lock::nonblocking::{operator::holders, permits::Permits};
///
/// # async fn show(conn: &mut AsyncMysqlConnection) -> Result<(), Box<dyn std::error::Error>> {
/// let renderers = Permits::new("renderers", 3)?;
/// println!("{} of {} run", holders(conn, &renderers.permit()).await?.len(), renderers.count());
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// Returns Diesel's error if the server does not answer.
pub fn holders<C: NamedLockConnection>(
    conn: &mut C,
    lock: &NamedLock,
) -> impl Future<Output = QueryResult<Vec<SessionInfo>>> + Send {
    async move {
        let mut conn = unfinished(conn);
        let holders = protocol::holders::<Nonblocking, C>(&mut conn, &lock.clone().into()).await;
        finished(conn, holders)
    }
}

/// Returns all named locks of the server that `conn` is connected to, with holders and waiters.
///
/// [`named_locks`](fn@crate::operator::named_locks) says where the list comes from, and what it does not promise.
///
/// ```no_run
/// # use diesel_async::AsyncMysqlConnection;
/// use diesel_named_lock::nonblocking::operator::{OperatorError, named_locks};
///
/// # async fn show(conn: &mut AsyncMysqlConnection) -> Result<(), OperatorError> {
/// for lock in named_locks(conn).await?.in_scope("shop") {
///     if let Some(holder) = &lock.holder {
///         println!("{}: {holder}, and {} wait", lock.name, lock.waiters.len());
///     }
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// Returns [`OperatorError::ListUnavailable`] if the server does not list its locks, and [`OperatorError::Denied`] if this account may not
/// see all of them. It never returns an empty list instead.
pub fn named_locks<C: NamedLockConnection>(
    conn: &mut C,
) -> impl Future<Output = Result<NamedLocks, OperatorError>> + Send {
    async move {
        let mut conn = unfinished(conn);
        let locks = protocol::named_locks::<Nonblocking, C>(&mut conn).await;
        finished(conn, locks)
    }
}

/// Kills the session that holds the named lock, and returns its description. Returns `None` if no session held the lock.
///
/// **For an operator, and dangerous.** [`break_lock`](fn@crate::operator::break_lock) says why, and what it does not promise. If the future
/// is dropped, the session may have been killed or not.
///
/// ```no_run
/// # use diesel_async::AsyncMysqlConnection;
/// use diesel_named_lock::{LockName, nonblocking::operator::{OperatorError, break_lock}};
///
/// # async fn unblock(conn: &mut AsyncMysqlConnection, name: &LockName) -> Result<(), OperatorError> {
/// match break_lock(conn, name).await? {
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
/// * Returns [`OperatorError::Denied`], after a second, if this account may not kill the session.
/// * Returns [`OperatorError::Database`] if the session still holds the lock a second after its `KILL`. It may be rolling back. Try again.
pub fn break_lock<C: NamedLockConnection>(
    conn: &mut C,
    name: &LockName,
) -> impl Future<Output = Result<Option<SessionInfo>, OperatorError>> + Send {
    async move {
        let mut conn = unfinished(conn);
        let broken = protocol::break_lock::<Nonblocking, C>(&mut conn, name).await;
        finished(conn, broken)
    }
}

/// Kills this session if it holds the named lock, and returns whether it did, like [`kill_holder`](fn@crate::operator::kill_holder).
///
/// If the future is dropped, the session may have been killed or not.
///
/// # Errors
///
/// Returns the errors of [`break_lock`].
pub fn kill_holder<C: NamedLockConnection>(
    conn: &mut C,
    name: &LockName,
    connection_id: ConnectionId,
) -> impl Future<Output = Result<bool, OperatorError>> + Send {
    async move {
        let mut conn = unfinished(conn);
        let killed = protocol::kill_holder::<Nonblocking, C>(&mut conn, name, connection_id).await;
        finished(conn, killed)
    }
}

/// Checks whether named locks are safe on the server that `conn` is connected to.
///
/// [`server_report`](fn@crate::operator::server_report) says what it finds out, and what it does not promise.
///
/// ```no_run
/// # use diesel::QueryResult;
/// # use diesel_async::AsyncMysqlConnection;
/// use diesel_named_lock::nonblocking::operator::{Severity, server_report};
///
/// # async fn check(conn: &mut AsyncMysqlConnection) -> QueryResult<()> {
/// let report = server_report(conn).await?;
/// println!("{report}");
/// assert!(report.max_severity() < Severity::Danger, "named locks protect nothing here");
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// Returns Diesel's error if the server does not answer the simplest of the questions.
pub fn server_report<C: NamedLockConnection>(conn: &mut C) -> impl Future<Output = QueryResult<ServerReport>> + Send {
    async move {
        let mut conn = unfinished(conn);
        let report = protocol::server_report::<Nonblocking, C>(&mut conn).await;
        finished(conn, report)
    }
}
