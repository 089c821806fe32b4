//! The ways to enter a section on a blocking connection.

pub(crate) mod ext;
pub(crate) mod guard;
mod idle_limit;
pub(crate) mod keep_alive;
mod lock;
pub mod pool;
pub(crate) mod section;
mod transaction;
pub(crate) mod watched;
