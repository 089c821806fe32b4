//! Questions about a lock, and about the session. All may be asked twice, because `KILL QUERY` may strike each.

use std::time::Duration;

use diesel::result::{Error, QueryResult};

#[cfg(feature = "blocking")]
use crate::statement::held_on::{HeldOn, ServerRun};
use crate::{
    connection_id::ConnectionId,
    driver::{
        Driver,
        out_of_step::OutOfStep,
        retry::{ask_again, batch_again},
    },
    holder::SessionInfo,
    name::LockName,
    statement::{
        leftovers::ROLLBACK,
        ping::Ping,
        process_list::{DescribeSession, Process, ProcessList},
        session_timeouts::AskTimeouts,
        who_am_i::WhoAmI,
        who_holds::{Holding, WhoHolds},
    },
};

/// Rolls back without Diesel's transaction manager, until that is confirmed.
///
/// # Errors
///
/// Returns the first error.
pub(crate) async fn roll_back_plainly<D: Driver<C>, C>(conn: &mut C) -> QueryResult<()> {
    batch_again::<D, C>(conn, ROLLBACK).await
}

/// Returns the holder of the lock.
pub(crate) async fn who_holds<D: Driver<C>, C>(conn: &mut C, name: &LockName) -> QueryResult<Holding> {
    ask_again::<D, C, _>(conn, &WhoHolds { name }).await
}

/// Returns the holder of the lock, and the server.
#[cfg(feature = "blocking")]
pub(crate) async fn held_on<D: Driver<C>, C>(conn: &mut C, name: &LockName) -> QueryResult<(Holding, ServerRun)> {
    ask_again::<D, C, _>(conn, &HeldOn::new(name)).await
}

/// Returns whether this session holds the lock, whatever its `pseudo_thread_id`.
pub(crate) async fn holds_lock<D: Driver<C>, C>(conn: &mut C, name: &LockName) -> QueryResult<bool> {
    let found = who_holds::<D, C>(conn, name).await?;
    Ok(found.is_asker() || !found.is_free() && Some(who_am_i::<D, C>(conn).await?) == found.holder)
}

/// Returns the session that holds the lock, as far as the server shows it to this account.
pub(crate) async fn describe_holder<D: Driver<C>, C>(
    conn: &mut C,
    name: &LockName,
) -> QueryResult<Option<SessionInfo>> {
    let Some(holder) = who_holds::<D, C>(conn, name).await?.holder else { return Ok(None) };
    Ok(Some(describe_session::<D, C>(conn, holder).await))
}

/// Describes a session as far as the server shows it to this account: at least its id.
pub(crate) async fn describe_session<D: Driver<C>, C>(conn: &mut C, session: ConnectionId) -> SessionInfo {
    for list in [ProcessList::InformationSchema, ProcessList::PerformanceSchema] {
        match ask_again::<D, C, _>(conn, &DescribeSession::of(session, list)).await {
            Ok(described) => return described,
            Err(error) if OutOfStep::is(&error) => break,
            Err(_) => {}
        }
    }
    Process::default().into_holder(session)
}

/// Checks that the session still answers. One round trip.
///
/// # Errors
///
/// Returns an error if the session is gone, or was struck at each attempt.
pub(crate) async fn ping<D: Driver<C>, C>(conn: &mut C) -> QueryResult<()> {
    ask_again::<D, C, _>(conn, &Ping).await
}

/// Returns how long the server lets this session be idle.
pub(crate) async fn longest_idle_time<D: Driver<C>, C>(conn: &mut C) -> QueryResult<Duration> {
    Ok(Duration::from_secs(ask_again::<D, C, _>(conn, &AskTimeouts).await?.wait))
}

/// Returns the id by which other sessions see this one.
pub(super) async fn who_am_i<D: Driver<C>, C>(conn: &mut C) -> QueryResult<ConnectionId> {
    ask_again::<D, C, _>(conn, &WhoAmI::new()).await?.ok_or(Error::NotFound)
}
