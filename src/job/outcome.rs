//! The outcome of a call, and the state of the last run in the ledger.

use std::{fmt, time::SystemTime};

use humantime::format_rfc3339_seconds;

use crate::{connection_id::ConnectionId, holder::SessionInfo, statement::ledger::Entry};

/// The outcome of [`SingletonJob::run`](crate::job::SingletonJob::run). It is no error if there was nothing to do.
///
/// Its text, for a log, says whether the closure has run, and if not, why.
///
/// ```
/// use std::time::{Duration, SystemTime};
///
/// use diesel_named_lock::job::JobOutcome;
///
/// let next = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
/// let outcome = JobOutcome::<()>::NotDue { next: Some(next) };
/// assert_eq!(outcome.to_string(), "not run: not due before 2027-01-15T08:00:00Z, by the server's clock");
///
/// match outcome {
///     JobOutcome::Ran(()) => println!("done"),
///     JobOutcome::Busy(_) => println!("being done elsewhere"),
///     JobOutcome::NotDue { next: Some(_) } => println!("not due yet"),
///     JobOutcome::NotDue { next: None } => println!("already done, never due again"),
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "the closure may not have run"]
pub enum JobOutcome<T> {
    /// The closure ran in this call, alone to its end, and returned this value.
    Ran(T),
    /// Another session holds the job's lock, described as far as the server shows it. `None` if the lock was free again when the server
    /// was asked. The closure has not run. The other session runs the job, for this key or another one, or is finding out whether it is
    /// due.
    Busy(Option<SessionInfo>),
    /// The job is not due. The closure has not run.
    NotDue {
        /// When it is due next, by the server's clock. `None` if it has run for this key and is never due again.
        next: Option<SystemTime>,
    },
}

impl<T> fmt::Display for JobOutcome<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ran(_) => write!(f, "run"),
            Self::Busy(Some(holder)) => write!(f, "not run: its lock is held by {holder}"),
            Self::Busy(None) => write!(f, "not run: its lock was held by another session"),
            Self::NotDue { next: Some(next) } => {
                write!(f, "not run: not due before {}, by the server's clock", format_rfc3339_seconds(*next))
            }
            Self::NotDue { next: None } => write!(f, "not run: it has had its run for this key"),
        }
    }
}

/// The last run of a job, as [`SingletonJob::status`](crate::job::SingletonJob::status) reads it. Its times are the server's.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobStatus {
    /// The number of runs that were started, for the key that was asked for or for all keys.
    pub runs: u64,
    /// When the last run started.
    pub started: SystemTime,
    /// The state of that run.
    pub state: JobState,
    /// The name of the host that it ran on, as that host reports it.
    pub host: String,
    /// The id of its process, on that host.
    pub process_id: u32,
    /// Its connection id, which `KILL` accepts while it runs.
    pub connection_id: ConnectionId,
}

/// The state of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum JobState {
    /// It has not ended, and its session holds the lock.
    Running,
    /// It has not ended, and its session does not hold the lock: its process or its session was killed, or its end could not
    /// be recorded. If only the session was killed, the closure may still run.
    Abandoned,
    /// The closure returned `Ok`.
    #[non_exhaustive]
    Succeeded {
        /// When it ended.
        ended: SystemTime,
    },
    /// The closure returned an error, panicked, lost its lock, or left a transaction open.
    #[non_exhaustive]
    Failed {
        /// When it ended.
        ended: SystemTime,
        /// The error's text, its first 1,000 characters.
        error: String,
    },
}

/// One row of the ledger, as [`read_ledger`](crate::job::read_ledger) returns it: the last run of a job, or of one of its keys.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LedgerEntry {
    /// The name of the job, which is that of its lock.
    pub job: String,
    /// What the run was for ([`once_for`](crate::job::SingletonJob::once_for)). `None` for the last run of the job, whatever it was
    /// for.
    pub key: Option<String>,
    /// The run.
    pub status: JobStatus,
}

impl JobStatus {
    /// `holder` is the session that holds the job's lock. It matters only if the run has not ended.
    pub(super) fn new(entry: &Entry, holder: Option<ConnectionId>) -> Self {
        let state = match (entry.ended, &entry.error) {
            (Some(ended), None) => JobState::Succeeded { ended: ended.0 },
            (Some(ended), Some(error)) => JobState::Failed { ended: ended.0, error: error.0.clone() },
            (None, _) if holder == Some(entry.connection_id.into()) => JobState::Running,
            (None, _) => JobState::Abandoned,
        };
        Self {
            runs: entry.runs,
            started: entry.started.0,
            state,
            host: entry.host.0.clone(),
            process_id: entry.process_id,
            connection_id: entry.connection_id.into(),
        }
    }
}
