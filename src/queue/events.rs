//! The events of sections, for metrics.

use std::{fmt, sync::Arc, time::Duration};

use crate::{error::NamedLockError, name::LockName};

/// Receives the events of the sections of a [`NamedLockPool`](crate::pool::NamedLockPool). By default, every method does nothing.
///
/// Methods are called on the thread of the section. Except in [`handle_waited`](Self::handle_waited), the section holds nothing any more, and
/// the next thread may already have its turn. A panic in a method reaches the caller of the section, and leaves no lock behind. No end event
/// is sent if the section panics. No event at all is sent if acquiring fails for any reason other than a timeout.
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
    /// A section has acquired its lock and is about to run its closure. **The lock is held during this call**, so be quick.
    fn handle_waited(&self, event: WaitedEvent<'_>) {}

    /// A section has ended, and held its lock to the end.
    fn handle_held(&self, event: HeldEvent<'_>) {}

    /// A section has ended and handed off its lock to the next thread. Called in addition to [`handle_held`](Self::handle_held).
    fn handle_handed_off(&self, event: HandedOffEvent<'_>) {}

    /// A section did not get its lock in time, and its closure has not run. For `try_with_named_lock`, the lock was not free.
    fn handle_timed_out(&self, event: TimedOutEvent<'_>) {}

    /// A section has run its closure, but has lost its lock or a transaction. Called instead of [`handle_held`](Self::handle_held).
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

/// The default event handler, which does nothing.
#[derive(Debug, Clone, Copy)]
pub struct NopLockEventHandler;

impl HandleLockEvent for NopLockEventHandler {}

/// The parts of the time until the grant.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct WaitedEvent<'a> {
    /// The section's locks.
    pub names: &'a [LockName],
    /// The time behind other threads of this process, without a connection.
    pub in_queue: Duration,
    /// The wait for a connection of the pool. Zero if the connection came with the lock, by a hand-off.
    pub in_checkout: Duration,
    /// The wait for the server's grant. Zero if the lock came by a hand-off.
    pub on_server: Duration,
}

/// The time for which a lock was held.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct HeldEvent<'a> {
    /// The section's locks.
    pub names: &'a [LockName],
    /// The time from the grant to the end that the server has confirmed.
    pub held: Duration,
}

/// A lock that was handed off to the next thread of this process without a release.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct HandedOffEvent<'a> {
    /// The lock.
    pub name: &'a LockName,
    /// The number of hand-offs since the server granted the lock, starting at 1.
    pub count: u32,
}

/// A lock that was not acquired in time.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct TimedOutEvent<'a> {
    /// The section's locks.
    pub names: &'a [LockName],
    /// The error that the caller gets, or would get: [`Timeout`](NamedLockError::Timeout), which says where the time went, or
    /// [`NoConnection`](NamedLockError::NoConnection).
    pub error: &'a NamedLockError,
}

/// A lock that was not confirmed to be held to the end.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct LostEvent<'a> {
    /// The section's locks.
    pub names: &'a [LockName],
    /// The error, as in [`Section::error`](crate::Section::error).
    pub error: &'a NamedLockError,
}
