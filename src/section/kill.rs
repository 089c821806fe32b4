//! Killing the session that holds a lock.

use std::time::Duration;

use diesel::result::{DatabaseErrorKind, Error, QueryResult};

use crate::{
    connection_id::ConnectionId,
    driver::{
        Driver,
        out_of_step::OutOfStep,
        retry::{batch_again, pauses},
    },
    name::LockName,
    statement::kill::{ALLOW_KILL_WITHOUT_MAJORITY, ExpireOwn, Kill},
};

use super::ask::who_holds;

/// Kills the session of this connection, from within. Soon after, the server rolls back and frees the locks.
///
/// This is best effort: if the connection is gone, its session is gone, too, or soon will be.
pub(crate) async fn kill_own<D: Driver<C>, C>(conn: &mut C) {
    // `KILL QUERY` may strike this statement, too. And it returns an error even if it succeeds. Once the connection is gone, nothing more is
    // sent.
    let mut pauses = pauses();
    while D::kill_own(conn).await {
        let Some(pause) = pauses.next() else {
            let _ = D::execute(conn, ExpireOwn).await;
            return;
        };
        D::pause(pause).await;
    }
}

/// Kills another session if it holds the lock, and waits until it no longer holds it. Returns `false` if that session did not seem to hold the
/// lock: this connection may even talk to another server, whose session with this id is innocent.
///
/// # Errors
///
/// Returns an error if the session still holds the lock after one second: this account may not kill it, or it is slow to die.
pub(crate) async fn kill_holder<D: Driver<C>, C>(
    conn: &mut C,
    session: ConnectionId,
    name: &LockName,
) -> QueryResult<bool> {
    /// One second in total. Most sessions are gone after the first pause.
    const PAUSES: u64 = 44;

    let mut killed = Ok(());
    for pause in 0..=PAUSES {
        D::pause(Duration::from_millis(pause)).await;
        if who_holds::<D, C>(conn, name).await?.holder != Some(session) {
            return Ok(pause > 0);
        }
        killed = match D::execute(conn, Kill(session)).await {
            Err(error) if OutOfStep::is(&error) => {
                D::mark_broken(conn);
                return Err(error);
            }
            Err(_) => kill_without_majority::<D, C>(conn, session).await,
            Ok(()) => Ok(()),
        };
    }
    let stays = Box::new(format!("connection {session} holds the lock a second after its `KILL`"));
    killed.and(Err(Error::DatabaseError(DatabaseErrorKind::Unknown, stays)))
}

/// A Galera node without a majority refuses a plain `KILL`.
async fn kill_without_majority<D: Driver<C>, C>(conn: &mut C, session: ConnectionId) -> QueryResult<()> {
    let [allow, forbid] = ALLOW_KILL_WITHOUT_MAJORITY;
    let allowed = D::batch(conn, allow).await.is_ok();
    let killed = D::execute(conn, Kill(session)).await;
    if allowed && batch_again::<D, C>(conn, forbid).await.is_err() {
        D::mark_broken(conn);
    }
    killed
}
