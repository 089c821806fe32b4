//! A handle to ask a leader to step down.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use log::warn;

use crate::{connection_id::ConnectionId, log_target::TARGET, name::LockName};

/// A handle to ask a leader to step down, from anywhere in its process, for example from the thread of a signal handler.
///
/// Returned by [`Leadership::step_down`](super::Leadership::step_down). A clone asks the same leader. It has no effect once the leadership
/// is over.
#[derive(Debug, Clone)]
pub struct StepDown(pub(crate) Arc<Requests>);

#[derive(Debug, Default)]
pub(crate) struct Requests {
    requested: Mutex<bool>,
    /// For threads that wait for a request or for a loss.
    pub(crate) changed: Condvar,
    /// The same for tasks.
    #[cfg(feature = "async")]
    pub(crate) notice: tokio::sync::Notify,
}

/// Logs that a leader, before it stepped down, continued after a loss.
pub(crate) fn warn_of_late(name: &LockName, connection: ConnectionId, lost_for: Option<Duration>) {
    if let Some(lost_for) = lost_for {
        let connection = connection.get();
        warn!(
            target: TARGET, lost_for:?, connection;
            "the leader by named lock `{name}` on connection {connection} continued for {lost_for:.3?} after the loss of the lock was noticed"
        );
    }
}

impl Requests {
    pub(crate) fn lock(&self) -> MutexGuard<'_, bool> {
        self.requested.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StepDown {
    /// Asks the leader to step down: its `is_leader` is `false` from now on. The lock is held until the leadership is resigned or dropped.
    pub fn request(&self) {
        *self.0.lock() = true;
        self.0.changed.notify_all();
        #[cfg(feature = "async")]
        self.0.notice.notify_waiters();
    }
}
