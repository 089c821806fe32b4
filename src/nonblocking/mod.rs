//! The same locks on the connections of `diesel-async`. Feature `async`; links no C library.
//!
//! [`NamedLockExt`] and [`NamedLock`] have the methods of their blocking namesakes, with the same meaning, options and errors. Import
//! them from here instead.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use diesel_async::{AsyncConnection, AsyncMysqlConnection, RunQueryDsl};
//! use diesel_named_lock::{NamedLockError, nonblocking::NamedLockExt};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let mut conn = AsyncMysqlConnection::establish("mysql://app@127.0.0.1/shop").await?;
//! conn.with_named_lock("search-index", Duration::from_secs(5), async |conn| {
//!     diesel::sql_query("DELETE FROM search_index").execute(conn).await?;
//!     diesel::sql_query("INSERT INTO search_index SELECT id, title FROM articles").execute(conn).await?;
//!     Ok::<_, NamedLockError>(())
//! })
//! .await?;
//! # Ok(())
//! # }
//! ```
#![doc = include_str!("../docs/cancellation.md")]

mod armed;
mod ext;
#[cfg(feature = "fence")]
pub mod fence;
mod guard;
#[cfg(feature = "job")]
pub mod job;
mod keep_alive;
pub mod leadership;
mod lock;
#[cfg(feature = "operator")]
pub mod operator;
mod owned_connection;
pub mod permits;
pub mod pool;
mod section;
mod transaction;
mod unfinished;
mod watched;
mod work;

pub use self::{
    ext::NamedLockExt, guard::NamedLockGuard, lock::NamedLock, owned_connection::OwnedConnection,
    watched::WatchedGuard, work::AsyncWork,
};
pub use crate::driver::status::nonblocking::NamedLockConnection;
