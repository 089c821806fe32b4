//! Fencing tokens on async connections. [`fence`](crate::fence) says what they are, and has the same functions.

use super::{
    NamedLockConnection,
    unfinished::{finished, unfinished},
};
pub use crate::fence::{FenceError, FencingToken};
use crate::{driver::nonblocking::Nonblocking, error::NamedLockError, fence::protocol, name::LockName};

/// Returns the next token of a named lock that this session holds. Call it first in the closure of a section on that lock.
///
/// The token is committed when this function returns. So it is spent, even if the closure fails, panics, rolls back, or is dropped. A
/// transaction that raw SQL has begun in this session is committed, too. Three round trips when warm.
///
/// A transaction that has called [`check`] for this lock delays the token until that transaction ends, for at most
/// `innodb_lock_wait_timeout`. So never wait for a token inside such a transaction on another connection.
///
/// If the future is dropped, a token may have been spent. It is never issued again. The connection is marked broken, and a section around
/// this call returns [`Lost`](NamedLockError::Lost).
///
/// ```no_run
/// # use std::time::Duration;
/// # use diesel_async::AsyncMysqlConnection;
/// use diesel_named_lock::nonblocking::{NamedLockExt, fence::{self, FenceError, FencingToken}};
///
/// # async fn upload(_: &str, _: FencingToken) {}
/// # async fn render(_: &mut AsyncMysqlConnection) -> Result<String, FenceError> { Ok(String::new()) }
/// # async fn publish(conn: &mut AsyncMysqlConnection) -> Result<(), FenceError> {
/// conn.with_named_lock("nightly-report", Duration::from_secs(10), async |conn| {
///     let token = fence::next_token(conn, "nightly-report").await?;
///     let report = render(conn).await?;
///     upload(&report, token).await;
///     Ok(())
/// })
/// .await
/// # }
/// ```
///
/// # Errors
///
/// * Returns [`NamedLockError::InvalidName`] or [`FenceError::InTransaction`], before any I/O.
/// * Returns [`FenceError::NotHeld`] if this session does not hold the lock. A token may have been spent.
/// * Returns [`FenceError::NoTable`] or [`FenceError::NoToken`] if no token can be issued.
pub fn next_token<C: NamedLockConnection>(
    conn: &mut C,
    name: impl TryInto<LockName, Error: Into<NamedLockError>>,
) -> impl Future<Output = Result<FencingToken, FenceError>> + Send {
    let name = name.try_into().map_err(Into::into);
    async move {
        let (name, mut conn) = (name?, unfinished(conn));
        let token = protocol::next_token::<Nonblocking, C>(&mut conn, name).await;
        finished(conn, token)
    }
}

/// Checks that `token` is still the newest token of this lock. For a closure that holds the lock on one connection and writes to this same
/// database on another.
///
/// Call it inside the writer's transaction, before it reads or writes anything else. Until that transaction ends, no newer token is issued.
/// [`fence::check`](crate::fence::check) says more.
///
/// If the future is dropped, the connection is marked broken.
///
/// ```no_run
/// use diesel::sql_query;
/// use diesel_async::{AsyncConnection, AsyncMysqlConnection, RunQueryDsl};
/// use diesel_named_lock::nonblocking::fence::{self, FenceError, FencingToken};
///
/// async fn write(other: &mut AsyncMysqlConnection, token: FencingToken) -> Result<(), FenceError> {
///     other
///         .transaction(async |other| {
///             fence::check(other, "nightly-report", token).await?;
///             sql_query("INSERT INTO reports VALUES (CURRENT_DATE, 17)").execute(other).await?;
///             Ok(())
///         })
///         .await
/// }
/// ```
///
/// # Errors
///
/// * Returns [`FenceError::NoTransaction`] or [`NamedLockError::InvalidName`], before any I/O.
/// * Returns [`FenceError::Stale`] or [`FenceError::Unknown`] if the token is not the newest one.
/// * Returns [`FenceError::NoTable`] if there is no table for the tokens, and [`FenceError::Database`] for any other error of the server.
pub fn check<C: NamedLockConnection>(
    conn: &mut C,
    name: impl TryInto<LockName, Error: Into<NamedLockError>>,
    token: FencingToken,
) -> impl Future<Output = Result<(), FenceError>> + Send {
    let name = name.try_into().map_err(Into::into);
    async move {
        let (name, mut conn) = (name?, unfinished(conn));
        let checked = protocol::check::<Nonblocking, C>(&mut conn, name, token).await;
        finished(conn, checked)
    }
}
