//! What the queue needs of threads and time. Its model (`tests/queue-model`) puts loom's in this place.

use std::{sync::PoisonError, time::Instant};
pub(super) use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread::{ThreadId, current},
};

/// Until when to wait; `None` is for ever.
pub(super) type Deadline = Option<Instant>;

/// Waits for a notice, or until the deadline has passed: then `true`.
pub(super) fn wait<'m, T>(notice: &Condvar, guard: MutexGuard<'m, T>, deadline: Deadline) -> (MutexGuard<'m, T>, bool) {
    let Some(deadline) = deadline else {
        return (notice.wait(guard).unwrap_or_else(PoisonError::into_inner), false);
    };
    let left = deadline.saturating_duration_since(Instant::now());
    let (guard, outcome) = notice.wait_timeout(guard, left).unwrap_or_else(PoisonError::into_inner);
    (guard, outcome.timed_out())
}

/// Nothing panics under the lock; were it so, what it protects is still whole.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
