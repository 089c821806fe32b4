//! What an operator asks a server, and may do there.

pub(crate) mod break_lock;
pub(crate) mod diagnosis;
pub(crate) mod named_locks;
pub(crate) mod report;
