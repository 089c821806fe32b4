//! How a caller of blocking Diesel enters a section.

pub(crate) mod ext;
pub(crate) mod guard;
mod idle_limit;
pub(crate) mod keep_alive;
mod lock;
pub mod pool;
mod section;
mod transaction;
pub(crate) mod watched;
