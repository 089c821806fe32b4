//! Answers that are awaited for a limited time only.

use std::{
    mem,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

/// A slot for the answers of each thread, of which at most one is awaited.
///
/// An answer may hold a lock. So if nobody awaits it any more, it goes back to the thread that has it, which may block.
pub(super) struct Answers<A> {
    slots: Mutex<Vec<Slot<A>>>,
    answered: Condvar,
}

enum Slot<A> {
    Idle,
    Awaited,
    Answered(A),
    Abandoned,
    /// Its thread has ended.
    Gone,
}

/// What became of an answer that is not awaited any more.
pub(super) enum Late<A> {
    /// It has come at the last moment.
    Answer(A),
    /// Its thread still works on it.
    Stray,
    Gone,
}

impl<A> Answers<A> {
    pub(super) fn new() -> Self {
        Self { slots: Mutex::new(Vec::new()), answered: Condvar::new() }
    }

    /// A slot for another thread.
    pub(super) fn open(&self) -> usize {
        let mut slots = self.lock();
        slots.push(Slot::Idle);
        slots.len() - 1
    }

    /// Returns `false` if there will be none, because the thread has ended.
    pub(super) fn expect(&self, slot: usize) -> bool {
        let slot = &mut self.lock()[slot];
        let is_there = !matches!(slot, Slot::Gone);
        if is_there {
            *slot = Slot::Awaited;
        }
        is_there
    }

    pub(super) fn is_abandoned(&self, slot: usize) -> bool {
        matches!(self.lock()[slot], Slot::Abandoned)
    }

    /// Returns the answer if it is not awaited any more.
    pub(super) fn answer(&self, slot: usize, answer: A) -> Result<(), A> {
        let slot = &mut self.lock()[slot];
        if !matches!(slot, Slot::Awaited) {
            return Err(answer);
        }
        *slot = Slot::Answered(answer);
        self.answered.notify_all();
        Ok(())
    }

    /// Waits for any answer, and returns it with its slot. `None`: there is none until then.
    pub(super) fn next(&self, until: Option<Instant>) -> Option<(usize, A)> {
        let mut slots = self.lock();
        loop {
            if let Some(found) = slots.iter_mut().enumerate().find_map(|(slot, of)| Some((slot, of.take()?))) {
                return Some(found);
            }
            let Some(until) = until else {
                slots = self.answered.wait(slots).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            slots = self.answered.wait_timeout(slots, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The answer is not awaited any more.
    pub(super) fn abandon(&self, slot: usize) -> Late<A> {
        let slot = &mut self.lock()[slot];
        match slot.take() {
            Some(answer) => Late::Answer(answer),
            None if matches!(slot, Slot::Gone) => Late::Gone,
            None => {
                *slot = Slot::Abandoned;
                Late::Stray
            }
        }
    }

    /// The thread ends. Returns whether its answer was abandoned.
    pub(super) fn leave(&self, slot: usize) -> bool {
        let slot = &mut self.lock()[slot];
        let was_abandoned = matches!(slot, Slot::Abandoned);
        if !matches!(slot, Slot::Answered(_)) {
            *slot = Slot::Gone;
        }
        was_abandoned
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Slot<A>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<A> Slot<A> {
    fn take(&mut self) -> Option<A> {
        match mem::replace(self, Self::Idle) {
            Self::Answered(answer) => Some(answer),
            other => {
                *self = other;
                None
            }
        }
    }
}
