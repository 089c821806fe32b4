//! For operators: who holds which lock, whether named locks are safe on a server, and killing the session that holds one.

mod break_lock;
mod diagnosis;
mod named_locks;
mod report;

pub use self::{
    break_lock::break_lock,
    named_locks::{LockState, NamedLocks, named_locks},
    report::{Finding, Product, ServerReport, Severity, Topic, server_report},
};
pub use crate::operator_error::OperatorError;
