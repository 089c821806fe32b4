//! Questions about a lock, and about the session. All may be asked twice, since `KILL QUERY` may strike each.

use std::time::Duration;

use diesel::result::{Error, QueryResult};

use crate::{
    connection_id::ConnectionId,
    driver::{
        Driver,
        retry::{ask_again, batch_again},
    },
    holder::SessionInfo,
    name::LockName,
    statement::{
        leftovers::ROLLBACK,
        ping::Ping,
        process_list::{DescribeSession, Process},
        session_timeouts::AskTimeouts,
        who_am_i::WhoAmI,
        who_holds::{Holding, WhoHolds},
    },
};

/// Rolls back without Diesel's transaction manager, until that is confirmed.
///
/// # Errors
///
/// The first one.
pub(crate) async fn roll_back_plainly<D: Driver<C>, C>(conn: &mut C) -> QueryResult<()> {
    batch_again::<D, C>(conn, ROLLBACK).await
}

/// Who holds the lock.
pub(crate) async fn who_holds<D: Driver<C>, C>(conn: &mut C, name: &LockName) -> QueryResult<Holding> {
    ask_again::<D, C, _>(conn, &WhoHolds { name }).await
}

/// Whether this very session holds the lock, whatever its `pseudo_thread_id`.
pub(crate) async fn holds_lock<D: Driver<C>, C>(conn: &mut C, name: &LockName) -> QueryResult<bool> {
    let found = who_holds::<D, C>(conn, name).await?;
    Ok(found.is_asker() || !found.is_free() && Some(who_am_i::<D, C>(conn).await?) == found.holder)
}

/// The session that holds the lock, described as far as the server lets this account see it.
pub(crate) async fn describe_holder<D: Driver<C>, C>(
    conn: &mut C,
    name: &LockName,
) -> QueryResult<Option<SessionInfo>> {
    let Some(holder) = who_holds::<D, C>(conn, name).await?.holder else { return Ok(None) };
    Ok(Some(describe_session::<D, C>(conn, holder).await))
}

/// A session as far as the server lets this account see it: its id, at least.
pub(crate) async fn describe_session<D: Driver<C>, C>(conn: &mut C, session: ConnectionId) -> SessionInfo {
    let described = ask_again::<D, C, _>(conn, &DescribeSession::of(session)).await;
    described.unwrap_or_else(|_| Process::default().into_holder(session))
}

/// Whether the session still answers. One round trip.
///
/// # Errors
///
/// If the session is gone, or was struck at each attempt.
pub(crate) async fn ping<D: Driver<C>, C>(conn: &mut C) -> QueryResult<()> {
    ask_again::<D, C, _>(conn, &Ping).await
}

/// For how long the server lets this session be idle.
pub(crate) async fn longest_idle_time<D: Driver<C>, C>(conn: &mut C) -> QueryResult<Duration> {
    Ok(Duration::from_secs(ask_again::<D, C, _>(conn, &AskTimeouts).await?.wait))
}

/// By which id others see this session.
pub(super) async fn who_am_i<D: Driver<C>, C>(conn: &mut C) -> QueryResult<ConnectionId> {
    ask_again::<D, C, _>(conn, &WhoAmI::new()).await?.ok_or(Error::NotFound)
}
