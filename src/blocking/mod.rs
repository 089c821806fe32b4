//! How a caller of blocking Diesel enters a section.

pub(crate) mod abandon;
pub(crate) mod clean_sessions;
pub(crate) mod ext;
pub(crate) mod keep_alive;
pub(crate) mod pool;
