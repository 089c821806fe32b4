// The README names its guides and pictures by reference. Here they are, in the documentation; further down, in the README
// itself, where they are in the repository. The first definition counts.
//! [choosing a name]: docs::choosing_a_name
//! [timeouts and retries]: docs::timeouts_and_retries
//! [transactions]: docs::transactions
//! [pools]: docs::pools
//! [long sections]: docs::long_sections
//! [testing]: docs::testing
//! [migrations]: docs::migrations
//! [jobs]: docs::jobs
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
//! None is on by default.
//!
//! * `migrations`: module `migration`, Diesel's migrations run by one process at a time, and `MIGRATIONS`, those that
//!   make this crate's own tables. It brings `diesel_migrations`.
//!
//! ## Rust
//!
//! Rust 1.86 is the oldest, as for Diesel 2.3. With an older one than the newest, Cargo's `resolver = "3"` (that of edition
//! 2024) picks dependencies which that one can build, but for one that it can't tell: before Rust 1.95, hold back
//! `scheduled-thread-pool`, which r2d2 needs: `cargo update scheduled-thread-pool --precise 0.2.7`.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod blocking;
#[cfg(any(doc, doctest))]
pub mod docs;
mod driver;
mod error;
pub mod fence;
mod holder;
mod job;
mod lock;
mod log_target;
#[cfg(feature = "migrations")]
pub mod migration;
mod name;
mod operator;
mod operator_error;
mod section;
mod statement;
mod timeout;

pub use blocking::{
    abandon::{AbandonAfter, InvalidBound},
    clean_sessions::CleanSessions,
    ext::NamedLockExt,
    keep_alive::Watch,
    pool::{
        HandedOffEvent, HandleLockEvent, HeldEvent, LostEvent, NamedLockPool, NamedLockPoolBuilder,
        NopLockEventHandler, TimedOutEvent, WaitedEvent,
    },
};
pub use driver::MysqlSession;
pub use error::NamedLockError;
pub use fence::{FenceExt, FencingToken};
pub use holder::Holder;
pub use job::{JobError, JobOutcome, JobState, JobStatus, SingletonJob};
pub use lock::NamedLock;
#[cfg(feature = "migrations")]
pub use migration::{MIGRATIONS, MigrationExt};
pub use name::{InvalidName, LockName};
pub use operator::{
    break_lock::break_lock,
    named_locks::{LockState, NamedLocks, named_locks},
    report::{Finding, Product, ServerReport, Severity, Topic, server_report},
};
pub use operator_error::OperatorError;
pub use section::Section;
