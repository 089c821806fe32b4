//! What became of a job: of the call that was just made, and of the last run that the ledger knows.

use std::time::SystemTime;

use crate::{connection_id::ConnectionId, holder::SessionInfo, statement::ledger::Entry};

/// What [`SingletonJob::run`](crate::job::SingletonJob::run) did. That there was nothing to do is not an error.
///
/// ```
/// use diesel_named_lock::job::JobOutcome;
///
/// fn log<T>(outcome: &JobOutcome<T>) {
///     match outcome {
///         JobOutcome::Ran(_) => println!("done"),
///         JobOutcome::Busy(Some(holder)) => println!("being done by {holder}"),
///         JobOutcome::Busy(None) => println!("being done elsewhere"),
///         JobOutcome::NotDue { next: Some(next) } => println!("not before {next:?}"),
///         JobOutcome::NotDue { next: None } => println!("done once and for all"),
///     }
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "the work may not have run"]
pub enum JobOutcome<T> {
    /// The work ran here and now, alone to its end, and returned this.
    Ran(T),
    /// Another session holds the job's lock, described as far as the server tells; `None` if it was free again by then. The
    /// work has not run. The job runs there, for this key or another one, or that session is just looking whether it is
    /// due.
    Busy(Option<SessionInfo>),
    /// The job has had its run. The work has not run.
    NotDue {
        /// When it is due next, by the server's clock; `None` where it never is, since it has run for this key.
        next: Option<SystemTime>,
    },
}

/// The last run of a job, as [`SingletonJob::status`](crate::job::SingletonJob::status) reads it. Its times are the server's.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobStatus {
    /// How often the job was begun, for the key that was asked for or for all of them.
    pub runs: u64,
    /// When the last run began.
    pub started: SystemTime,
    /// What became of it.
    pub state: JobState,
    /// The name of the host that it ran on, as this host calls itself.
    pub host: String,
    /// The id of its process, on that host.
    pub process_id: u32,
    /// Its connection id: what `KILL` takes, while it runs.
    pub connection_id: ConnectionId,
}

/// What became of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum JobState {
    /// It has not ended, and its session holds the lock.
    Running,
    /// It has not ended, and its session does not hold the lock: its process or its session was killed, or its end could not
    /// be recorded. Where only the session was killed, the work may be going on.
    Abandoned,
    /// The work returned `Ok`.
    #[non_exhaustive]
    Succeeded {
        /// When it ended.
        ended: SystemTime,
    },
    /// The work returned an error or panicked, lost its lock, or left a transaction open.
    #[non_exhaustive]
    Failed {
        /// When it ended.
        ended: SystemTime,
        /// The error's text, its first 1,000 characters.
        error: String,
    },
}

impl JobStatus {
    /// `holder`: the session that holds the job's lock, which matters only where the run has not ended.
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
