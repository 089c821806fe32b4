//! A second connection that kills the session of a section that was dropped.

use std::{sync::Arc, time::Duration};

use tokio::{runtime::Handle, time::timeout};

use super::{ConnectionPool, Shared};
use crate::{
    connection_id::ConnectionId,
    driver::nonblocking::Nonblocking,
    names::Names,
    nonblocking::armed::Armed,
    owned::Owned,
    section::{Hold, kill::kill_holder},
};

/// If this value is dropped, the session is killed if it still holds its lock. Otherwise, the server would finish the running statement before
/// it notices that the connection is closed.
///
/// The id comes from the server itself, which is asked whether that session holds the lock. So it can't be another session behind a proxy.
pub(super) struct Rescue<P: ConnectionPool> {
    /// `None` once it is disarmed.
    held: Option<(Arc<Shared<P>>, ConnectionId, Names)>,
}

impl<P: ConnectionPool> Rescue<P> {
    pub(super) fn new(shared: &Arc<Shared<P>>, session: ConnectionId, names: &Names) -> Self {
        Self { held: Some((shared.clone(), session, names.clone())) }
    }

    pub(super) fn disarm(&mut self) {
        self.held = None;
    }
}

impl<P: ConnectionPool> Drop for Rescue<P> {
    fn drop(&mut self) {
        if let (Some((shared, session, names)), Ok(runtime)) = (self.held.take(), Handle::try_current()) {
            runtime.spawn(async move { kill(&shared.pool, session, names).await });
        }
    }
}

/// How long to wait for a connection.
const PATIENCE: Duration = Duration::from_secs(30);

async fn kill<P: ConnectionPool>(pool: &P, session: ConnectionId, names: Names) {
    // A statement that outlasts this ends by itself.
    let Ok(Ok(conn)) = timeout(PATIENCE, pool.get()).await else { return };
    let mut armed = Armed::new(Owned(conn), Hold::new(names.clone()));
    // All of them were acquired by that session.
    let _ = kill_holder::<Nonblocking, _>(armed.parts().0, session, names.first()).await;
    drop(armed.disarm());
}
