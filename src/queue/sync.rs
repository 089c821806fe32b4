//! The primitives of the queue. Its model (`tests/queue-model`) replaces them by loom's.

use std::{sync::PoisonError, time::Instant};
pub(super) use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread::{ThreadId, current},
};

/// Until when to wait. `None` means for ever.
pub(super) type Deadline = Option<Instant>;

/// Waits for a notice. Returns `true` if the deadline has passed.
pub(super) fn wait<'m, T>(notice: &Condvar, guard: MutexGuard<'m, T>, deadline: Deadline) -> (MutexGuard<'m, T>, bool) {
    let Some(deadline) = deadline else {
        return (notice.wait(guard).unwrap_or_else(PoisonError::into_inner), false);
    };
    let left = deadline.saturating_duration_since(Instant::now());
    let (guard, outcome) = notice.wait_timeout(guard, left).unwrap_or_else(PoisonError::into_inner);
    (guard, outcome.timed_out())
}

/// Nothing panics under the mutex. Even if it did, what it protects would still be consistent.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
