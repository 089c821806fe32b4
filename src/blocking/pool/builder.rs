//! The options of a `NamedLockPool`.

use std::{fmt, sync::Arc, time::Duration};

use diesel::r2d2::{ManageConnection, Pool};

use super::{HandleLockEvent, NamedLockPool, Shared};
use crate::queue::{hand_offs::HandOffs, line::Queue};

/// The options of a [`NamedLockPool`].
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

    /// Sets how many times a lock is handed off from thread to thread before it is released to other processes. With 0, every section
    /// acquires and releases.
    ///
    /// Defaults to 16.
    pub fn max_hand_offs(mut self, max: u32) -> Self {
        self.hand_offs.max = max;
        self
    }

    /// Sets how long after the server's grant a lock is handed off from thread to thread. A section that runs at the end of that time is not
    /// interrupted. It is the last one before the release.
    ///
    /// Defaults to 50 ms.
    pub fn max_hand_off_time(mut self, time: Duration) -> Self {
        self.hand_offs.max_time = time;
        self
    }

    /// Hands off locks before it is proven that they are held, and proves several hand-offs with one answer of the server.
    ///
    /// By default, each hand-off waits for the server's answer that the session still holds the lock. That is one round trip during which the
    /// lock is not used. With group confirmation, a section whose closure returns `Ok` within 5 ms hands off the lock at once, and **returns
    /// as soon as it is proven that the lock was held to its end**. The proof is a later answer: a session that holds the lock after several
    /// hand-offs has held it through all of them. At least every eighth hand-off asks, and so does the release. After 5 ms without a proof,
    /// the section itself asks on an idle connection of the pool, so that it does not wait for a long section behind it.
    ///
    /// `Ok` means the same as always. Group confirmation is off by default, because of its costs:
    ///
    /// * **If the session is lost, several sections are lost.** All sections whose hand-off was not yet proven return
    ///   [`Lost`](crate::NamedLockError::Lost), up to eight instead of one.
    /// * The next closure may start on a session that has already lost the lock. Its section returns [`Lost`](crate::NamedLockError::Lost),
    ///   too, but only after the closure has run.
    /// * On MariaDB, too, a transaction that raw SQL began and left open may reach the next section.
    /// * If the pool has no idle connection, a section waits until the sections behind it have asked, even if one of them is long.
    /// * If a closure releases the lock by hand, and a later closure of the same turn acquires it by hand, nothing notices.
    ///
    /// A section whose closure returns `Err`, [`section`](NamedLockPool::section), a guard, and the first hand-off after the server's grant
    /// wait for an answer of their own.
    pub fn group_confirmation(mut self) -> Self {
        self.hand_offs.group_confirmation = true;
        self
    }

    /// Sets the event handler. Defaults to [`NopLockEventHandler`](crate::pool::NopLockEventHandler).
    pub fn event_handler(mut self, handler: Box<dyn HandleLockEvent>) -> Self {
        self.hand_offs.event_handler = handler;
        self
    }

    /// Creates the `NamedLockPool`.
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
