// The README names its guides and pictures by reference. Here they are, in the documentation; further down, in the README
// itself, where they are in the repository. The first definition counts.
//! [choosing a name]: docs::choosing_a_name
//! [timeouts and retries]: docs::timeouts_and_retries
//! [transactions]: docs::transactions
//! [pools]: docs::pools
//! [long sections]: docs::long_sections
//! [guards]: docs::guards
//! [async]: docs::nonblocking
//! [testing]: docs::testing
//! [migrations]: docs::migrations
//! [jobs]: docs::jobs
//! [leader election]: docs::leader_election
//! [fencing]: docs::fencing
//! [errors]: docs::errors
//! [servers and proxies]: docs::servers_and_proxies
//! [raw `GET_LOCK`]: docs::from_get_lock
//! [PyMySQLLock]: docs::from_pymysqllock
//! [with_advisory_lock]: docs::from_with_advisory_lock
#![doc = include_str!("docs/pictures.md")]
#![doc = include_str!("../README.md")]
//!
//! ## Features of the package
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
//!   feature, neither a C library nor `r2d2` is linked.
//! * `migrations`: module `migration`, Diesel's migrations run by one process at a time, and `MIGRATIONS`, those that
//!   make this crate's own tables. It brings `diesel_migrations`.
//!
//! ## Rust
//!
//! Rust 1.86 is the oldest, as for Diesel 2.3. With an older one than the newest, Cargo's `resolver = "3"` (that of edition
//! 2024) picks dependencies which that one can build, but for one that it can't tell: before Rust 1.95, hold back
//! `scheduled-thread-pool`, which r2d2 needs: `cargo update scheduled-thread-pool --precise 0.2.7`.
#![cfg_attr(docsrs, feature(doc_cfg))]
// What only some features use.
#![cfg_attr(
    not(all(feature = "async", feature = "fence", feature = "job", feature = "migrations", feature = "operator")),
    allow(dead_code)
)]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

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
mod queue;
#[cfg(any(feature = "async", feature = "blocking"))]
mod section;
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
