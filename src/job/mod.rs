//! Jobs that run on one machine only: a lock, and a ledger of the runs.

mod due;
mod error;
mod ledger;
mod outcome;
pub(crate) mod protocol;
#[cfg(feature = "blocking")]
mod run;
mod singleton;
pub(crate) mod whole_ledger;

pub use error::JobError;
pub use outcome::{JobOutcome, JobState, JobStatus, LedgerEntry};
pub use singleton::SingletonJob;
pub use whole_ledger::LedgerError;
#[cfg(feature = "blocking")]
pub use whole_ledger::read_ledger;
