//! Work for one machine only: a lock, and a ledger of who ran it when.

mod due;
mod error;
mod ledger;
mod outcome;
pub(crate) mod protocol;
#[cfg(feature = "blocking")]
mod run;
mod singleton;

pub use error::JobError;
pub use outcome::{JobOutcome, JobState, JobStatus};
pub use singleton::SingletonJob;
