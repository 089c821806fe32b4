//! The queue for tasks.

use std::{
    hash::Hash,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{sync::Notify, time::timeout_at};

use super::line::{Queue, Turn, Waits};
use crate::deadline::Deadline;

/// A task in line awaits its turn, and leaves the line if its future is dropped.
///
/// Each entry is independent: a task may run several sections concurrently, so one of them does not necessarily wait for another.
pub(crate) struct Tasks;

impl Waits for Tasks {
    type Who = u64;
    type Notice = Notify;

    fn call(notice: &Notify) {
        notice.notify_one();
    }
}

/// Waits for the turn, with which a baton may come. Returns `None` if it did not come in time.
pub(crate) async fn enter<K: Eq + Hash + Clone, B>(
    queue: &Queue<K, B, Tasks>,
    key: &K,
    deadline: Deadline,
    takes_baton: bool,
) -> Option<(Turn<K, B, Tasks>, Option<B>)> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let called = Arc::new(Notify::new());
    let mut place = match queue.line_up(key, NEXT.fetch_add(1, Ordering::Relaxed), takes_baton, called.clone()) {
        Ok(turn) => return Some((turn, None)),
        Err(place) => place,
    };
    match deadline.instant() {
        Some(deadline) => {
            let _ = timeout_at(deadline.into(), called.notified()).await;
        }
        None => called.notified().await,
    }
    // Also if time is up: a task that is called at the last moment has the turn.
    place.take_turn()
}
