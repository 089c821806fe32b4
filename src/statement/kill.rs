//! Ending a session, which frees every lock that it holds.

use std::{
    thread,
    time::{Duration, Instant},
};

use diesel::result::{DatabaseErrorKind, Error, QueryResult};

use super::who_holds;
use crate::{driver::MysqlSession, name::LockName};

/// Ends the session of this very connection, from within. The server rolls back, then frees the locks, soon after.
///
/// Best effort: of a connection that is gone, the server has ended the session by itself, or will.
pub(crate) fn end_own<C: MysqlSession>(conn: &mut C) {
    // `KILL QUERY` may strike this statement, too, and it fails also where it succeeds. Once the connection is gone, the
    // client library sends nothing more.
    const ATTEMPTS: u32 = 20;

    for _ in 0..ATTEMPTS {
        let _ = conn.batch_execute("KILL CONNECTION_ID()");
    }
}

/// Ends another session if it holds the lock, and waits until it does no more. `false` where it was not seen to hold it:
/// this connection may even talk to another server, whose session of this id has done nothing.
///
/// # Errors
///
/// Where it holds the lock on: this account may not end it, or it does not notice.
pub(crate) fn end_other<C: MysqlSession>(conn: &mut C, session: u64, name: &LockName) -> QueryResult<bool> {
    const PATIENCE: Duration = Duration::from_secs(1);
    const PAUSE: Duration = Duration::from_millis(2);

    let start = Instant::now();
    let mut held = false;
    while who_holds::who_holds(conn, name)?.1 == Some(session) {
        held = true;
        let killed = conn.batch_execute(&format!("KILL {session}"));
        if start.elapsed() > PATIENCE {
            let stays = Box::new(format!("connection {session} holds the lock {PATIENCE:?} after its `KILL`"));
            return killed.and(Err(Error::DatabaseError(DatabaseErrorKind::Unknown, stays)));
        }
        thread::sleep(PAUSE);
    }
    Ok(held)
}
