//! Threads, or tasks, of one process that wait for the same lock: whose turn it is, how often it goes from one to the next, and what
//! is told of it.

pub(crate) mod events;
pub(crate) mod hand_offs;
pub(crate) mod line;
mod sync;
#[cfg(feature = "async")]
pub(crate) mod tasks;
