//! What the queue needs of threads and time, as in `src/queue/sync.rs`, but loom's. Loom knows no time: a wait with a
//! deadline may end at any moment.

use std::{
    cell::RefCell,
    ops::{Deref, DerefMut},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};
// Loom's `Arc` would only be more places to switch threads at.
pub(crate) use std::sync::Arc;

pub(crate) use loom::thread::{ThreadId, current};

/// When a wait times out.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Deadline {
    Never,
    /// At any moment: before or after anything that another thread does.
    Passes,
    /// Never; but it wakes up once for no reason, as a real one may.
    WakesForNothing,
}

pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(loom::sync::Mutex::new(value))
    }
}

/// Loom's, and the way back to the mutex.
pub(crate) struct MutexGuard<'m, T> {
    mutex: &'m Mutex<T>,
    guard: loom::sync::MutexGuard<'m, T>,
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

pub(crate) struct Condvar {
    notice: loom::sync::Condvar,
    waited: AtomicBool,
}

impl Condvar {
    pub(crate) fn new() -> Self {
        Self { notice: loom::sync::Condvar::new(), waited: AtomicBool::new(false) }
    }

    pub(crate) fn notify_one(&self) {
        self.notice.notify_one();
    }

    pub(crate) fn notify_all(&self) {
        self.notice.notify_all();
    }
}

loom::lazy_static! {
    static ref IN_LINE: RefCell<Vec<ThreadId>> = RefCell::new(Vec::new());
}

/// Which threads have waited in this run, in the order in which they began.
pub(crate) fn in_line() -> Vec<ThreadId> {
    IN_LINE.borrow().clone()
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    MutexGuard { mutex, guard: mutex.0.lock().expect("loom's mutex is never poisoned") }
}

pub(crate) fn wait<'m, T>(notice: &Condvar, guard: MutexGuard<'m, T>, deadline: Deadline) -> (MutexGuard<'m, T>, bool) {
    let again = notice.waited.swap(true, Relaxed);
    if !again {
        IN_LINE.borrow_mut().push(current().id());
    }
    let MutexGuard { mutex, guard } = guard;
    match deadline {
        Deadline::Passes => {
            drop(guard);
            (lock(mutex), true)
        }
        Deadline::WakesForNothing if !again => {
            drop(guard);
            (lock(mutex), false)
        }
        Deadline::Never | Deadline::WakesForNothing => {
            let guard = notice.notice.wait(guard).expect("loom's mutex is never poisoned");
            (MutexGuard { mutex, guard }, false)
        }
    }
}
