//! Everything that is said to a server. No other module writes SQL.

pub(crate) mod acquire;
pub(crate) mod ask_again;
#[cfg(feature = "migrations")]
pub(crate) mod database;
pub(crate) mod facts;
pub(crate) mod failure;
pub(crate) mod fence;
pub(crate) mod kill;
pub(crate) mod ledger;
pub(crate) mod leftovers;
mod name;
pub(crate) mod named_locks;
pub(crate) mod ping;
pub(crate) mod privilege;
pub(crate) mod release;
mod server_time;
pub(crate) mod session_timeouts;
pub(crate) mod transaction;
pub(crate) mod who_holds;
