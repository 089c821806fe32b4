//! The options of a `NamedLockPool`.

use std::{fmt, sync::Arc, time::Duration};

use diesel::r2d2::{ManageConnection, Pool};

use super::{HandleLockEvent, NamedLockPool, Shared};
use crate::queue::{hand_offs::HandOffs, line::Queue};

/// Options of a [`NamedLockPool`].
///
/// ```no_run
/// use std::time::Duration;
///
/// use diesel::{MysqlConnection, r2d2::{ConnectionManager, Pool}};
/// use diesel_named_lock::pool::NamedLockPool;
///
/// # fn locks(pool: Pool<ConnectionManager<MysqlConnection>>) {
/// let locks = NamedLockPool::builder(pool).max_hand_offs(4).max_hand_off_time(Duration::from_millis(20)).build();
/// # }
/// ```
#[must_use = "options do nothing without `build`"]
pub struct NamedLockPoolBuilder<M: ManageConnection> {
    pub(super) pool: Pool<M>,
    pub(super) hand_offs: HandOffs,
}

impl<M: ManageConnection> NamedLockPoolBuilder<M> {
    pub(super) fn new(pool: Pool<M>) -> Self {
        Self { pool, hand_offs: HandOffs::new() }
    }

    /// How many times a lock that the server has granted passes from thread to thread before it is released to the others
    /// that want it. Default: 16. With 0, every section acquires and releases.
    pub fn max_hand_offs(mut self, max: u32) -> Self {
        self.hand_offs.max = max;
        self
    }

    /// For how long after the server's grant a lock passes from thread to thread. Default: 50 ms. A section that runs
    /// at that moment is not interrupted: it is the last one before the release.
    pub fn max_hand_off_time(mut self, time: Duration) -> Self {
        self.hand_offs.max_time = time;
        self
    }

    /// Hands locks on without asking the server whether they are still held: no round trip at all, and no certainty.
    ///
    /// Then the `Ok` of a section that has handed its lock on says less than it does everywhere else: nothing was *seen* to be
    /// wrong. Where its session was killed after the last statement of its work, or the work released the lock by hand, that is
    /// found by a later section only, which gets the [`Lost`](crate::NamedLockError::Lost) in its place (our test
    /// `a_session_killed_unseen_is_told_to_the_next_section`). For work that is short, writes to this database alone, and
    /// so fails by itself when its session is gone.
    ///
    /// A section whose work returns `Err`, [`section`](NamedLockPool::section), and the last section before
    /// the release ask all the same.
    pub fn unconfirmed_hand_offs(mut self) -> Self {
        self.hand_offs.unconfirmed = true;
        self
    }

    /// Sets the event handler. Defaults to [`NopLockEventHandler`](crate::pool::NopLockEventHandler).
    pub fn event_handler(mut self, handler: Box<dyn HandleLockEvent>) -> Self {
        self.hand_offs.event_handler = handler;
        self
    }

    /// The locks of the pool's server.
    #[must_use]
    pub fn build(self) -> NamedLockPool<M> {
        NamedLockPool(Arc::new(Shared { queue: Queue::new(), options: self }))
    }
}

impl<M: ManageConnection> fmt::Debug for NamedLockPoolBuilder<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NamedLockPoolBuilder").field("hand_offs", &self.hand_offs).finish_non_exhaustive()
    }
}
