//! What can go wrong with a job.

use std::time::Duration;

use crate::{error::NamedLockError, name::LockName};

type Diesel = diesel::result::Error;

/// What went wrong with a [`SingletonJob`](crate::job::SingletonJob): which job, what happened, what to do.
///
/// | the work has… | variants |
/// |---|---|
/// | **not run** | [`InvalidInterval`](Self::InvalidInterval), [`InvalidKey`](Self::InvalidKey), [`NoLedger`](Self::NoLedger), [`Ledger`](Self::Ledger) |
/// | **run**, and its end is not in the ledger | [`NotRecorded`](Self::NotRecorded) |
/// | as the error itself says | [`Lock`](Self::Lock) |
///
/// For code whose error is Diesel's own, it travels in [`QueryBuilderError`](diesel::result::Error::QueryBuilderError),
/// as [`NamedLockError`] does, and comes out again by `?` into a `JobError`:
///
/// ```no_run
/// use diesel::{MysqlConnection, prelude::*};
/// use diesel_named_lock::job::{JobError, JobOutcome, SingletonJob};
///
/// fn clean_up(conn: &mut MysqlConnection) -> QueryResult<JobOutcome<usize>> {
///     SingletonJob::new("shop:clean-up")?
///         .once_for("2026-11-24")
///         .run(conn, |conn| diesel::sql_query("DELETE FROM carts WHERE abandoned").execute(conn))
/// }
///
/// fn needs_the_migration(error: diesel::result::Error) -> bool {
///     matches!(JobError::from(error), JobError::NoLedger { .. })
/// }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JobError {
    /// An error of the job's lock: its documentation says whether the work has run. Or the work's own, where the work
    /// returns a `JobError`.
    #[error(transparent)]
    Lock(#[from] NamedLockError),

    /// The interval, or the time after which an abandoned run is due again, is not one that can be waited for. Found
    /// before any I/O.
    #[error("job `{job}` has not run: {given:?} is no time to wait for; more than zero and at most 1000 years are")]
    #[non_exhaustive]
    InvalidInterval {
        /// The job.
        job: LockName,
        /// The time as given.
        given: Duration,
    },

    /// The key is empty, or too long for the ledger. Found before any I/O.
    #[error(
        "job `{job}` has not run: key {key:?} has {} bytes, 1 to {max} can be kept; shorten it, \
         `LockName::hashed` does",
        .key.len(),
        max = super::SingletonJob::MAX_KEY_BYTES
    )]
    #[non_exhaustive]
    InvalidKey {
        /// The job.
        job: LockName,
        /// The key as given.
        key: String,
    },

    /// There is no ledger, or none that this account may read, or no current database. The work has not run.
    #[error(
        "job `{job}` has not run: the connection's database has no table `named_lock_ledger` that this account may see; \
         run this crate's migration `create_named_lock_ledger` (`diesel_named_lock::migration::MIGRATIONS`, feature \
         `migrations`, or the SQL in its folder `migrations/`)"
    )]
    #[non_exhaustive]
    NoLedger {
        /// The job.
        job: LockName,
        /// The server's answer.
        source: Diesel,
    },

    /// The ledger could not be read, or the start could not be written to it. The work has not run.
    ///
    /// Where the connection broke while the start was being written, the ledger may show a run that was abandoned.
    #[error("job `{job}` has not run, because of its ledger: {source}")]
    #[non_exhaustive]
    Ledger {
        /// The job.
        job: LockName,
        /// What Diesel says.
        source: Diesel,
    },

    /// The work has run and returned `Ok`, but its end could not be written to the ledger, which shows it as abandoned:
    /// by default it is due again at once.
    ///
    /// That is so if the connection breaks, or if the session can't write to the ledger any more because the work has left:
    ///
    /// * `LOCK TABLES`,
    /// * an XA transaction that has ended and is not committed,
    /// * a transaction, or a session, that is `READ ONLY`,
    /// * another current database (`USE`),
    /// * a transaction begun by raw SQL that the server has rolled back: what the work wrote in it is gone.
    #[error(
        "job `{job}` has run and succeeded, but that is not in its ledger, which shows the run as abandoned and due \
         again: {source}"
    )]
    #[non_exhaustive]
    NotRecorded {
        /// The job.
        job: LockName,
        /// What Diesel says; [`NotFound`](diesel::result::Error::NotFound) where the row of this run is gone, or is now
        /// that of another run.
        source: Diesel,
    },
}

/// For `?` in the work. An error of ours that travelled inside Diesel's comes out as it was.
impl From<Diesel> for JobError {
    fn from(error: Diesel) -> Self {
        match error {
            Diesel::QueryBuilderError(inner) => match inner.downcast() {
                Ok(ours) => *ours,
                Err(inner) => Self::Lock(Diesel::QueryBuilderError(inner).into()),
            },
            error => Self::Lock(error.into()),
        }
    }
}

/// For code whose error is Diesel's own; the example above shows it.
impl From<JobError> for Diesel {
    fn from(error: JobError) -> Self {
        match error {
            JobError::Lock(error) => error.into(),
            error => Self::QueryBuilderError(Box::new(error)),
        }
    }
}
