//! Runs a closure in one process at a time, across all machines, under a named lock of MySQL or MariaDB (`GET_LOCK`) that your own
//! Diesel connection holds.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use diesel::prelude::*;
//! use diesel_named_lock::{NamedLockError, NamedLockExt};
//!
//! fn write_report(conn: &mut MysqlConnection) -> Result<(), NamedLockError> {
//!     conn.with_named_lock("shop:nightly-report", Duration::from_secs(10), |conn| {
//!         diesel::sql_query("INSERT INTO report SELECT * FROM sales").execute(conn)?;
//!         Ok(())
//!     })
//! }
//! ```
//!
//! 1. The server grants the lock to this connection. If it is not free in time, you get
//!    [`Timeout`](NamedLockError::Timeout), which says who holds it.
//! 2. The closure runs on this same connection.
//! 3. The lock is released and the server confirms it, even if the closure fails or panics. Only then can the connection return to
//!    its pool. If the server does not confirm the release, the session is killed and the pool closes the connection.
//!
//! `Ok` means that nobody else held the lock until the end. If that is not certain, the error is [`Lost`](NamedLockError::Lost).
//!
#![doc = include_str!("../docs/leak.svg")]
//!
//! | start here | |
//! |---|---|
//! | [`NamedLockExt`] | the methods on a connection |
//! | [`NamedLock`] | a lock with options, also over several names |
//! | [`NamedLockError`] | what can go wrong, and whether the closure ran |
//! | [`pool`] | threads that wait for a lock without a connection each |
//! | [`NamedLockGuard`] | a lock that outlives a function |
//! | `quorum` (feature `quorum`) | a lock over a majority of servers |
//! | [`docs`] | which method for what, and the guides |
//! | [`docs::guarantees`] | what is promised, and all limits |
//! | [`docs::nonblocking`] | async, on `diesel-async` |
//!
//! # Features
//!
//! On by default:
//!
//! * `blocking`: sections on Diesel's blocking connections, also on those of `r2d2`. Without it and `async`, there are only names
//!   and errors.
//! * `job`, `fence`, `operator`: the modules of these names, and with `async` those of the same names in `nonblocking`. They need
//!   `blocking` or `async`.
//!
//! Not on by default:
//!
//! * `async`: module `nonblocking`, the same sections on the connections of `diesel-async`. With `default-features = false` and this
//!   feature, neither a C library nor `r2d2` is linked. `bb8` and `deadpool` include it, and add guards and queues on those pools.
//! * `migrations`: module `migration`, which runs Diesel's migrations in one process at a time, and `MIGRATIONS`, which
//!   make this crate's own tables. It brings `diesel_migrations`.
//! * `quorum`: module `quorum`, one lock over a majority of servers.
//! * `cli`: the program `named-lock`, for `cargo install`. It is nothing for a library's dependencies.
//!
//! # Rust
//!
//! Rust 1.86 is the oldest, as for Diesel 2.3. Cargo's `resolver = "3"` (the default of edition 2024) picks dependencies that your
//! Rust can build, with one exception: before Rust 1.95, hold back `scheduled-thread-pool`, which r2d2 needs:
//! `cargo update scheduled-thread-pool --precise 0.2.7`.
#![cfg_attr(docsrs, feature(doc_cfg))]
// What only some features use.
#![cfg_attr(
    not(all(feature = "async", feature = "fence", feature = "job", feature = "migrations", feature = "operator")),
    allow(dead_code)
)]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

#[cfg(any(feature = "async", feature = "blocking"))]
mod backoff;
#[cfg(feature = "blocking")]
mod blocking;
mod connection_id;
#[cfg(any(feature = "async", feature = "blocking"))]
mod deadline;
#[cfg(any(doc, doctest))]
pub mod docs;
#[cfg(any(feature = "async", feature = "blocking"))]
mod driver;
mod error;
mod error_text;
#[cfg(any(feature = "async", feature = "blocking"))]
mod family;
#[cfg(all(feature = "fence", any(feature = "async", feature = "blocking")))]
pub mod fence;
#[cfg(any(feature = "async", feature = "blocking"))]
mod guard_error;
mod holder;
mod idle_limit;
#[cfg(all(feature = "job", any(feature = "async", feature = "blocking")))]
pub mod job;
#[cfg(any(feature = "async", feature = "blocking"))]
mod keep_alive_error;
#[cfg(any(feature = "async", feature = "blocking"))]
pub mod leadership;
#[cfg(any(feature = "async", feature = "blocking"))]
mod lock;
#[cfg(any(feature = "async", feature = "blocking"))]
mod log_target;
#[cfg(feature = "migrations")]
pub mod migration;
mod name;
#[cfg(any(feature = "async", feature = "blocking"))]
mod names;
#[cfg(feature = "async")]
pub mod nonblocking;
#[cfg(all(feature = "operator", any(feature = "async", feature = "blocking")))]
pub mod operator;
#[cfg(all(feature = "operator", any(feature = "async", feature = "blocking")))]
mod operator_error;
#[cfg(any(feature = "async", feature = "blocking"))]
mod owned;
#[cfg(any(feature = "async", feature = "blocking"))]
pub mod permits;
mod permits_error;
#[cfg(any(feature = "async", feature = "blocking"))]
mod queue;
#[cfg(feature = "quorum")]
pub mod quorum;
#[cfg(any(feature = "async", feature = "blocking"))]
mod section;
#[cfg(any(feature = "async", feature = "blocking"))]
mod slots;
#[cfg(any(feature = "async", feature = "blocking"))]
mod statement;
#[cfg(any(feature = "async", feature = "blocking"))]
mod watch;

#[cfg(feature = "blocking")]
pub use blocking::{ext::NamedLockExt, guard::NamedLockGuard, pool, watched::WatchedGuard};
pub use connection_id::ConnectionId;
#[cfg(feature = "blocking")]
pub use driver::status::NamedLockConnection;
pub use error::NamedLockError;
#[cfg(any(feature = "async", feature = "blocking"))]
pub use guard_error::GuardError;
pub use holder::SessionInfo;
pub use idle_limit::{IdleLimit, InvalidIdleLimit};
#[cfg(any(feature = "async", feature = "blocking"))]
pub use keep_alive_error::KeepAliveError;
#[cfg(any(feature = "async", feature = "blocking"))]
pub use lock::NamedLock;
pub use name::{InvalidName, LockName};
#[cfg(any(feature = "async", feature = "blocking"))]
pub use section::Section;
#[cfg(any(feature = "async", feature = "blocking"))]
pub use watch::Watch;
