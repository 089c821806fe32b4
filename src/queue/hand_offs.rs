//! How often a lock is handed off, and the events for that.

use std::{
    fmt,
    time::{Duration, Instant},
};

use super::events::{
    HandedOffEvent, HandleLockEvent, HeldEvent, LostEvent, NopLockEventHandler, TimedOutEvent, WaitedEvent,
};
use crate::{
    deadline::Deadline,
    error::NamedLockError,
    holder::SessionInfo,
    lock::NamedLock,
    name::LockName,
    section::{Request, outcome::Section},
};

/// The options of a pool's queue.
pub(crate) struct HandOffs {
    pub(crate) max: u32,
    pub(crate) max_time: Duration,
    pub(crate) group_confirmation: bool,
    pub(crate) event_handler: Box<dyn HandleLockEvent>,
}

/// The hand-offs of a lock since the server granted it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chain {
    since: Instant,
    pub(crate) hand_offs: u32,
}

impl Chain {
    /// Starts with the server's grant.
    pub(crate) fn new() -> Self {
        Self { since: Instant::now(), hand_offs: 0 }
    }

    pub(crate) fn longer(self) -> Self {
        Self { hand_offs: self.hand_offs + 1, ..self }
    }
}

/// The parts of the time that a section has waited.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Waited {
    pub(crate) in_queue: Duration,
    pub(crate) in_checkout: Duration,
}

impl Waited {
    pub(crate) fn add_to(self, mut error: NamedLockError) -> NamedLockError {
        if let NamedLockError::Timeout { in_queue, in_checkout, .. } = &mut error {
            (*in_queue, *in_checkout) = (self.in_queue, self.in_checkout);
        }
        error
    }
}

/// The turn did not come in time. `holder` is the session that holds the lock in the current turn.
pub(crate) fn timed_out_in_queue(name: &LockName, deadline: Deadline, holder: Option<u64>) -> NamedLockError {
    let waited = deadline.elapsed();
    NamedLockError::Timeout {
        name: name.clone(),
        waited,
        in_queue: waited,
        in_checkout: Duration::ZERO,
        holder: holder.map(|session| Box::new(SessionInfo::new(session.into()))),
    }
}

impl HandOffs {
    pub(crate) fn new() -> Self {
        Self {
            max: 16,
            max_time: Duration::from_millis(50),
            group_confirmation: false,
            event_handler: Box::new(NopLockEventHandler),
        }
    }

    /// Whether a section can take part in hand-offs.
    pub(crate) fn are_for(&self, lock: &NamedLock, request: &Request) -> bool {
        let is_one = lock.names().len() == 1 && request.slots.is_none();
        is_one && !request.reentrant && request.idle_limit.is_none() && self.max > 0
    }

    /// Whether the lock may be handed off once more before it is the turn of other processes.
    pub(crate) fn may_follow(&self, chain: Chain) -> bool {
        chain.hand_offs < self.max && chain.since.elapsed() < self.max_time
    }

    pub(crate) fn report_waited(&self, names: &[LockName], waited: Duration, spent: Waited) {
        let Waited { in_queue, in_checkout } = spent;
        let on_server = waited.saturating_sub(in_queue + in_checkout);
        self.event_handler.handle_waited(WaitedEvent { names, in_queue, in_checkout, on_server });
    }

    pub(crate) fn report_not_begun(&self, names: &[LockName], error: &NamedLockError) {
        if matches!(error, NamedLockError::Timeout { .. } | NamedLockError::NoConnection { .. }) {
            self.event_handler.handle_timed_out(TimedOutEvent { names, error });
        }
    }

    pub(crate) fn report_end<T>(&self, names: &[LockName], section: &Section<T>, handed_off: Option<u32>) {
        match &section.error {
            Some(error) => self.event_handler.handle_lost(LostEvent { names, error }),
            None => self.event_handler.handle_held(HeldEvent { names, held: section.held }),
        }
        if let Some(count) = handed_off {
            self.event_handler.handle_handed_off(HandedOffEvent { name: &names[0], count });
        }
    }
}

impl fmt::Debug for HandOffs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandOffs")
            .field("max", &self.max)
            .field("max_time", &self.max_time)
            .field("group_confirmation", &self.group_confirmation)
            .field("event_handler", &self.event_handler)
            .finish()
    }
}
