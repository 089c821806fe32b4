//! For operators: who holds which lock, whether named locks are safe on a server, and killing the session that holds one.
//!
//! For the connections of `diesel-async`, the same is in `nonblocking::operator`.

#[cfg(feature = "blocking")]
mod break_lock;
mod diagnosis;
mod families;
mod named_locks;
pub(crate) mod protocol;
mod report;

#[cfg(feature = "blocking")]
pub use self::{
    break_lock::{break_lock, kill_holder},
    named_locks::named_locks,
    report::server_report,
};
pub use self::{
    families::{FamilyHolder, GroupedLocks, LockFamily},
    named_locks::{LockState, NamedLocks},
    report::{Finding, Product, ServerReport, Severity, Topic},
};
pub use crate::{family::FamilyKind, operator_error::OperatorError};
