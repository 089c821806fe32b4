//! Threads, or tasks, of one process that wait for the same lock: their queue, the hand-offs, and the events.

pub(crate) mod events;
#[cfg(feature = "blocking")]
pub(crate) mod group;
pub(crate) mod hand_offs;
pub(crate) mod line;
mod sync;
#[cfg(feature = "async")]
pub(crate) mod tasks;
