//! What an application can learn of its sections, to feed its metrics.

use std::{fmt, sync::Arc, time::Duration};

use crate::{error::NamedLockError, name::LockName};

/// Receives what happens to the sections of a [`NamedLockPool`](crate::pool::NamedLockPool). Every method does nothing by default.
///
/// Called on the thread of the section. Apart from [`handle_waited`](Self::handle_waited), nothing is held any more, and it
/// is the next one's turn already. A panic in a method goes through the section to its caller, and leaves no lock behind.
/// No end event is sent if the section panics. No event at all is sent if acquiring fails for any reason other than time.
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// use diesel_named_lock::pool::{HandleLockEvent, WaitedEvent};
///
/// #[derive(Debug, Default)]
/// struct Metrics {
///     micros_in_queue: AtomicU64,
/// }
///
/// impl HandleLockEvent for Metrics {
///     fn handle_waited(&self, event: WaitedEvent<'_>) {
///         self.micros_in_queue.fetch_add(event.in_queue.as_micros() as u64, Ordering::Relaxed);
///     }
/// }
/// ```
#[allow(unused_variables)]
pub trait HandleLockEvent: fmt::Debug + Send + Sync + 'static {
    /// A section has got its lock and is about to run its work: **the lock is held meanwhile**, so be quick.
    fn handle_waited(&self, event: WaitedEvent<'_>) {}

    /// A section has ended, with its lock held to the end.
    fn handle_held(&self, event: HeldEvent<'_>) {}

    /// A section has ended and handed its lock, held, to the next thread. Besides [`handle_held`](Self::handle_held).
    fn handle_handed_off(&self, event: HandedOffEvent<'_>) {}

    /// A section did not get its lock in time; its work has not run. For `try_with_named_lock`, that it was not free.
    fn handle_timed_out(&self, event: TimedOutEvent<'_>) {}

    /// A section has run its work, but has lost its lock or a transaction. Instead of [`handle_held`](Self::handle_held).
    fn handle_lost(&self, event: LostEvent<'_>) {}
}

impl<H: HandleLockEvent> HandleLockEvent for Arc<H> {
    fn handle_waited(&self, event: WaitedEvent<'_>) {
        self.as_ref().handle_waited(event);
    }

    fn handle_held(&self, event: HeldEvent<'_>) {
        self.as_ref().handle_held(event);
    }

    fn handle_handed_off(&self, event: HandedOffEvent<'_>) {
        self.as_ref().handle_handed_off(event);
    }

    fn handle_timed_out(&self, event: TimedOutEvent<'_>) {
        self.as_ref().handle_timed_out(event);
    }

    fn handle_lost(&self, event: LostEvent<'_>) {
        self.as_ref().handle_lost(event);
    }
}

/// Does nothing: the default.
#[derive(Debug, Clone, Copy)]
pub struct NopLockEventHandler;

impl HandleLockEvent for NopLockEventHandler {}

/// Where the time until the grant went.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct WaitedEvent<'a> {
    /// The section's locks.
    pub names: &'a [LockName],
    /// Behind other threads of this process, without a connection.
    pub in_queue: Duration,
    /// For a connection of the pool. Zero where it came with the lock, by hand-off.
    pub in_checkout: Duration,
    /// For the server's grant. Zero where the lock came by hand-off.
    pub on_server: Duration,
}

/// How long a lock was held.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct HeldEvent<'a> {
    /// The section's locks.
    pub names: &'a [LockName],
    /// From the grant to the end that the server has confirmed.
    pub held: Duration,
}

/// A lock that passed to the next thread of this process without being released.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct HandedOffEvent<'a> {
    /// The lock.
    pub name: &'a LockName,
    /// The number of hand-offs since the server granted the lock, starting at 1.
    pub count: u32,
}

/// A lock that was not got in time.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct TimedOutEvent<'a> {
    /// The section's locks.
    pub names: &'a [LockName],
    /// What the caller gets, or would get: [`Timeout`](NamedLockError::Timeout), which tells where the time went, or
    /// [`NoConnection`](NamedLockError::NoConnection).
    pub error: &'a NamedLockError,
}

/// A lock that was not shown to be held to the end.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct LostEvent<'a> {
    /// The section's locks.
    pub names: &'a [LockName],
    /// What was lost, as in [`Section::error`](crate::Section::error).
    pub error: &'a NamedLockError,
}
