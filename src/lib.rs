#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod error;
mod ext;
pub mod fence;
mod holder;
mod job;
mod lock;
#[cfg(feature = "migrations")]
pub mod migration;
mod name;
mod pool;
mod section;
mod server;
mod session;
mod table;
mod timeout;

pub use error::NamedLockError;
pub use ext::NamedLockExt;
pub use fence::{FenceExt, FencingToken};
pub use holder::Holder;
pub use job::{JobError, JobOutcome, JobState, JobStatus, SingletonJob};
pub use lock::NamedLock;
#[cfg(feature = "migrations")]
pub use migration::{MIGRATIONS, MigrationExt};
pub use name::{InvalidName, LockName};
pub use pool::{
    HandedOffEvent, HandleLockEvent, HeldEvent, LostEvent, NamedLockPool, NamedLockPoolBuilder, NopLockEventHandler,
    TimedOutEvent, WaitedEvent,
};
pub use section::Section;
pub use session::MysqlSession;
