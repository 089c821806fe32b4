//! Everything that is said to a server. No other module writes SQL.

pub(crate) mod acquire;
#[cfg(feature = "migrations")]
pub(crate) mod database;
pub(crate) mod denied;
pub(crate) mod end;
pub(crate) mod facts;
pub(crate) mod failure;
pub(crate) mod holders;
pub(crate) mod idle;
pub(crate) mod leftovers;
pub(crate) mod locks;
mod name;
pub(crate) mod ping;
pub(crate) mod release;
