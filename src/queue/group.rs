//! Sections that have handed off their lock, and wait for the proof that they held it to the end. Model-checked by `tests/queue-model`.
//!
//! A lock that is handed off from section to section is held by one session, which acquires it once. If the server says that this session
//! holds the lock, then the session has held it since the grant. So one answer proves all hand-offs before it.

use super::sync::{Arc, Condvar, Deadline, Mutex, MutexGuard, lock, wait};

/// The hand-offs of a lock since the server granted it. The section that holds the lock owns this value. When it is dropped, unproven hand-offs
/// can never be proven.
pub(crate) struct Group<S>(Arc<Shared<S>>);

/// A section that has handed off the lock.
pub(crate) struct Member<S> {
    group: Arc<Shared<S>>,
    /// The number of sections that have handed off the lock, this one included.
    number: u32,
}

struct Shared<S> {
    state: Mutex<State>,
    decided: Condvar,
    holder: S,
}

struct State {
    joined: u32,
    /// The number of sections that are proven to have held the lock to their end: a prefix.
    proven: u32,
    has_ended: bool,
}

impl<S> Group<S> {
    pub(crate) fn new(holder: S) -> Self {
        let state = Mutex::new(State { joined: 0, proven: 0, has_ended: false });
        Self(Arc::new(Shared { state, decided: Condvar::new(), holder }))
    }

    /// Called before the lock is handed off without a question to the server.
    pub(crate) fn join(&self) -> Member<S> {
        let mut state = lock(&self.0.state);
        state.joined += 1;
        Member { group: self.0.clone(), number: state.joined }
    }

    /// The number of sections that wait for a proof.
    pub(crate) fn unproven(&self) -> u32 {
        let state = lock(&self.0.state);
        state.joined - state.proven
    }

    /// Called when the server has said that the session holds the lock, or held it until the release that the server has just confirmed.
    pub(crate) fn prove(&self) {
        let state = lock(&self.0.state);
        let joined = state.joined;
        self.0.prove(state, joined);
    }

    /// Ends the group when the lock was released. `was_held`: whether the server has confirmed that it was held until then. To be called
    /// before the session can acquire the lock anew, which would prove nothing.
    pub(crate) fn end(self, was_held: bool) {
        if was_held {
            self.prove();
        }
    }
}

impl<S> Drop for Group<S> {
    fn drop(&mut self) {
        lock(&self.0.state).has_ended = true;
        self.0.decided.notify_all();
    }
}

impl<S> Member<S> {
    pub(crate) fn holder(&self) -> &S {
        &self.group.holder
    }

    /// Waits until it is known whether the lock was held to the end. Returns `Some(false)` if that can no longer be proven, and `None` if it is not
    /// known at the deadline.
    pub(crate) fn wait(&self, deadline: Deadline) -> Option<bool> {
        let mut state = lock(&self.group.state);
        let mut timed_out = false;
        loop {
            if state.proven >= self.number {
                return Some(true);
            }
            if state.has_ended {
                return Some(false);
            }
            if timed_out {
                return None;
            }
            (state, timed_out) = wait(&self.group.decided, state, deadline);
        }
    }

    /// Called when the server has said, after this section's end, that the session holds the lock. After the end of the group that proves
    /// nothing: the session may have acquired the lock anew.
    pub(crate) fn prove(&self) {
        let state = lock(&self.group.state);
        if !state.has_ended {
            self.group.prove(state, self.number);
        }
    }
}

impl<S> Shared<S> {
    fn prove(&self, mut state: MutexGuard<'_, State>, number: u32) {
        state.proven = state.proven.max(number);
        drop(state);
        self.decided.notify_all();
    }
}
