//! Group confirmation: sections that have handed off their lock, and return when it is proven that they held it to the end.

use std::time::{Duration, Instant};

use diesel::r2d2::{ManageConnection, Pool, PooledConnection};
use log::warn;

use crate::{
    blocking::section::is_held_by,
    connection_id::ConnectionId,
    driver::status::NamedLockConnection,
    error::NamedLockError,
    log_target::TARGET,
    name::LockName,
    queue::group::{Group, Member},
    statement::held_on::ServerRun,
};

/// The session that holds the lock, as other sessions of the same server see it.
pub(super) struct Holder {
    pub(super) session: ConnectionId,
    pub(super) server: ServerRun,
}

pub(super) type Proofs = Group<Holder>;

/// The longest section that is handed off before its proof, and the longest wait for the sections behind it before it asks by itself.
const PATIENCE: Duration = Duration::from_millis(5);
/// After this, it asks again, if no connection was idle, or the answer was no proof.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);
/// One answer for eight hand-offs gains most of what can be gained. And if the session is lost, only eight sections are lost.
const MOST_UNPROVEN: u32 = 7;

/// Whether a section that took this long can be handed off before its proof.
pub(super) fn may_join(proofs: &Proofs, held: Duration) -> bool {
    held < PATIENCE && proofs.unproven() < MOST_UNPROVEN
}

/// Waits for the proof. As long as the pool has an idle connection, a section does not wait for a long section behind it, because any session
/// may ask for the holder of a lock.
pub(super) fn wait_for_proof<M>(member: &Member<Holder>, name: &LockName, pool: &Pool<M>) -> Option<NamedLockError>
where
    M: ManageConnection,
    PooledConnection<M>: NamedLockConnection,
{
    let Holder { session, server } = member.holder();
    let mut pause = PATIENCE;
    loop {
        match member.wait(Some(Instant::now() + pause)) {
            Some(true) => return None,
            Some(false) => {
                let lost = NamedLockError::Lost { name: name.clone(), connection_id: *session, source: None };
                warn!(target: TARGET, connection = session.get(); "{lost}");
                return Some(lost);
            }
            None => {}
        }
        if pool.try_get().is_some_and(|mut conn| is_held_by(&mut conn, name, *session, server) == Some(true)) {
            member.prove();
        }
        pause = LONGEST_PAUSE.min(pause * 2);
    }
}
