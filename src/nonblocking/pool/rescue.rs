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

/// If this is dropped, the session is killed should it still hold its lock: otherwise, the server would end the statement that runs
/// before it looks at its connection.
///
/// The server has told the id itself, and is asked whether that session holds the lock: a proxy can't make it another's.
pub(super) struct Rescue<P: ConnectionPool> {
    /// `None`: disarmed.
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

/// For a connection.
const PATIENCE: Duration = Duration::from_secs(30);

async fn kill<P: ConnectionPool>(pool: &P, session: ConnectionId, names: Names) {
    // A statement that outlasts this ends by itself, too.
    let Ok(Ok(conn)) = timeout(PATIENCE, pool.get()).await else { return };
    let mut armed = Armed::new(Owned(conn), Hold::new(names.clone()));
    // All of them were acquired by that session.
    let _ = kill_holder::<Nonblocking, _>(armed.parts().0, session, names.first()).await;
    drop(armed.disarm());
}
