//! Everything that is said to a server. No other module writes SQL.

pub(crate) mod acquire;
#[cfg(feature = "migrations")]
pub(crate) mod database;
pub(crate) mod facts;
pub(crate) mod failure;
pub(crate) mod kill;
pub(crate) mod leftovers;
mod name;
pub(crate) mod named_locks;
pub(crate) mod ping;
pub(crate) mod privilege;
pub(crate) mod question;
pub(crate) mod release;
pub(crate) mod session_timeouts;
pub(crate) mod who_holds;
