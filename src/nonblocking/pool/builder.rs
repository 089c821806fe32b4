//! The options of a `NamedLockPool`.

use std::{fmt, sync::Arc, time::Duration};

use super::{ConnectionPool, HandleLockEvent, NamedLockPool, Shared};
use crate::queue::{hand_offs::HandOffs, line::Queue};

/// The options of a [`NamedLockPool`].
#[must_use = "options do nothing without `build`"]
pub struct NamedLockPoolBuilder<P: ConnectionPool> {
    pool: P,
    hand_offs: HandOffs,
}

impl<P: ConnectionPool> NamedLockPoolBuilder<P> {
    pub(super) fn new(pool: P) -> Self {
        Self { pool, hand_offs: HandOffs::new() }
    }

    /// Sets how many times a lock is handed off from task to task before it is released to other processes. With 0, every section acquires
    /// and releases.
    ///
    /// Defaults to 16.
    pub fn max_hand_offs(mut self, max: u32) -> Self {
        self.hand_offs.max = max;
        self
    }

    /// Sets how long after the server's grant a lock is handed off from task to task. A section that runs at the end of that time is not
    /// interrupted. It is the last one before the release.
    ///
    /// Defaults to 50 ms.
    pub fn max_hand_off_time(mut self, time: Duration) -> Self {
        self.hand_offs.max_time = time;
        self
    }

    /// Sets the event handler, which is called in the task of the section. Defaults to
    /// [`NopLockEventHandler`](super::NopLockEventHandler). No event is sent if the section's future is dropped.
    pub fn event_handler(mut self, handler: Box<dyn HandleLockEvent>) -> Self {
        self.hand_offs.event_handler = handler;
        self
    }

    /// Creates the `NamedLockPool`.
    #[must_use]
    pub fn build(self) -> NamedLockPool<P> {
        let Self { pool, hand_offs } = self;
        NamedLockPool(Arc::new(Shared { queue: Queue::new(), pool, hand_offs }))
    }
}

impl<P: ConnectionPool> fmt::Debug for NamedLockPoolBuilder<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NamedLockPoolBuilder").field("hand_offs", &self.hand_offs).finish_non_exhaustive()
    }
}
