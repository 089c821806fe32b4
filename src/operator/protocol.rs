//! The protocol of the operator's functions, written once over any driver.

use std::{collections::BTreeMap, time::Duration};

use diesel::result::QueryResult;

use super::{
    diagnosis,
    named_locks::{LockState, NamedLocks},
    report::ServerReport,
};
use crate::{
    connection_id::ConnectionId,
    driver::Driver,
    holder::SessionInfo,
    lock::NamedLock,
    name::LockName,
    operator_error::OperatorError,
    section::{
        ask::{describe_session, holds_lock, who_holds},
        kill,
    },
    slots::Slots,
    statement::{
        facts,
        named_locks::{Party, parties},
        privilege::{self, Privilege},
    },
};

pub(crate) async fn named_locks<D: Driver<C>, C>(conn: &mut C) -> Result<NamedLocks, OperatorError> {
    let mut unassigned_waiters = Vec::new();
    let mut locks = BTreeMap::new();
    for Party { name, holds, held_ms, connection_id, process } in parties::<D, C>(conn).await? {
        let session = process.into_holder(connection_id.into());
        let Some(name) = name else {
            unassigned_waiters.push(session);
            continue;
        };
        let lock =
            locks.entry(name.clone()).or_insert(LockState { name, holder: None, held_for: None, waiters: Vec::new() });
        if holds {
            lock.holder = Some(session);
            lock.held_for = held_ms.and_then(|ms| u64::try_from(ms).ok()).map(Duration::from_millis);
        } else {
            lock.waiters.push(session);
        }
    }
    Ok(NamedLocks { locks: locks.into_values().collect(), unassigned_waiters })
}

pub(crate) async fn holders<D: Driver<C>, C>(conn: &mut C, lock: &NamedLock) -> QueryResult<Vec<SessionInfo>> {
    let mut found = Vec::new();
    for name in lock.slots().map_or(lock.names(), Slots::all) {
        found.push(who_holds::<D, C>(conn, name).await?.holder);
    }
    if lock.slots().is_some() {
        // The turnstile's. A session that holds it and not all slots is first in line.
        let first = found.remove(0);
        if found.iter().any(|holder| *holder != first) {
            found.retain(|holder| *holder != first);
        }
    }
    let mut holders: Vec<SessionInfo> = Vec::new();
    for session in found.into_iter().flatten() {
        if holders.iter().all(|holder| holder.connection_id != session) {
            holders.push(describe_session::<D, C>(conn, session).await);
        }
    }
    Ok(holders)
}

pub(crate) async fn break_lock<D: Driver<C>, C>(
    conn: &mut C,
    name: &LockName,
) -> Result<Option<SessionInfo>, OperatorError> {
    let found = who_holds::<D, C>(conn, name).await?;
    let Some(session) = found.holder else { return Ok(None) };
    let holder = describe_session::<D, C>(conn, session).await;
    Ok(kill_holder::<D, C>(conn, name, session).await?.then_some(holder))
}

pub(crate) async fn kill_holder<D: Driver<C>, C>(
    conn: &mut C,
    name: &LockName,
    session: ConnectionId,
) -> Result<bool, OperatorError> {
    if holds_lock::<D, C>(conn, name).await? {
        return Err(OperatorError::HeldHere { name: name.clone(), connection_id: session });
    }
    match kill::kill_holder::<D, C>(conn, session, name).await {
        Ok(killed) => Ok(killed),
        Err(error) => Err(privilege::explain::<D, C>(conn, Privilege::Kill, error).await),
    }
}

pub(crate) async fn server_report<D: Driver<C>, C>(conn: &mut C) -> QueryResult<ServerReport> {
    facts::gather::<D, C>(conn).await.map(diagnosis::report)
}
