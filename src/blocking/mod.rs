//! How a caller of blocking Diesel enters a section.

pub(crate) mod clean_sessions;
pub(crate) mod ext;
mod idle_limit;
pub(crate) mod keep_alive;
mod lock;
pub(crate) mod pool;
mod section;
