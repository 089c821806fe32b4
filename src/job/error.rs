//! The error of a job.

use std::time::Duration;

use crate::{
    error::{NamedLockError, recover},
    name::LockName,
};

type Diesel = diesel::result::Error;

/// The error of a [`SingletonJob`](crate::job::SingletonJob): what happened to which job, and what to do.
///
/// | the closure has… | variants |
/// |---|---|
/// | **not run** | [`InvalidInterval`](Self::InvalidInterval), [`InvalidRetryTime`](Self::InvalidRetryTime), [`InvalidKey`](Self::InvalidKey), [`NoLedger`](Self::NoLedger), [`Ledger`](Self::Ledger) |
/// | **run**, and its end is not in the ledger | [`NotRecorded`](Self::NotRecorded) |
/// | as the error itself says | [`Lock`](Self::Lock) |
///
/// For code that returns Diesel's error, it is put into a [`QueryBuilderError`](diesel::result::Error::QueryBuilderError), as
/// [`NamedLockError`] is. `?` into a `JobError` recovers it:
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
    /// An error of the job's lock, which says whether the closure has run. If the closure returns a `JobError`, perhaps an error of the
    /// closure itself.
    #[error(transparent)]
    Lock(#[from] NamedLockError),

    /// The interval is zero or too long. No I/O took place.
    #[error("job `{job}` has not run: invalid interval {given:?}: must be greater than zero and at most 1000 years")]
    #[non_exhaustive]
    InvalidInterval {
        /// The job.
        job: LockName,
        /// The interval as given.
        given: Duration,
    },

    /// The time after which an abandoned run is due again is too long. No I/O took place.
    #[error("job `{job}` has not run: invalid time {given:?} for `retry_abandoned_after`: must be at most 1000 years")]
    #[non_exhaustive]
    InvalidRetryTime {
        /// The job.
        job: LockName,
        /// The time as given.
        given: Duration,
    },

    /// The key is empty, or too long for the ledger. No I/O took place.
    #[error(
        "job `{job}` has not run: key {key:?} has {} bytes: must be from 1 to {max}{}",
        .key.len(),
        if key.is_empty() { "" } else { "; shorten it, for example with `LockName::hashed`" },
        max = super::SingletonJob::MAX_KEY_BYTES
    )]
    #[non_exhaustive]
    InvalidKey {
        /// The job.
        job: LockName,
        /// The key as given.
        key: String,
    },

    /// There is no ledger, or this account may not read it, or there is no current database. The closure has not run.
    #[error(
        "job `{job}` has not run: the connection has no database, or that has no table `named_lock_ledger` that this \
         account may see; run this crate's migration `00000000000002-namedlock_create_named_lock_ledger` \
         (`diesel_named_lock::migration::MIGRATIONS`, feature `migrations`, or the SQL in its folder `migrations/`)"
    )]
    #[non_exhaustive]
    NoLedger {
        /// The job.
        job: LockName,
        /// The server's error.
        source: Diesel,
    },

    /// The ledger could not be read, or the start could not be written to it. The closure has not run.
    ///
    /// If the connection broke while the start was being written, the ledger may show an abandoned run.
    #[error("job `{job}` has not run: its ledger can't be read or written: {source}")]
    #[non_exhaustive]
    Ledger {
        /// The job.
        job: LockName,
        /// Diesel's error.
        r#source: Diesel,
    },

    /// The closure has run and returned `Ok`, but its end could not be written to the ledger. The ledger shows the run as abandoned, so by
    /// default the job is due again at once.
    ///
    /// This happens if the connection breaks, or if the session can no longer write to the ledger because the closure has left:
    ///
    /// * `LOCK TABLES`,
    /// * an XA transaction that has ended and is not committed,
    /// * a transaction, or a session, that is `READ ONLY`,
    /// * another current database (`USE`),
    /// * a transaction begun by raw SQL that the server has rolled back: what the closure wrote in it is gone.
    #[error(
        "job `{job}` has run and succeeded, but that is not in its ledger, which shows the run as abandoned and due \
         again: {source}"
    )]
    #[non_exhaustive]
    NotRecorded {
        /// The job.
        job: LockName,
        /// Diesel's error. [`NotFound`](diesel::result::Error::NotFound) if the row of this run is gone, or now belongs to another
        /// run.
        r#source: Diesel,
    },
}

/// For `?` in the closure. An error of this crate inside Diesel's error becomes itself again.
impl From<Diesel> for JobError {
    fn from(error: Diesel) -> Self {
        recover(error, |error| Self::Lock(error.into()))
    }
}

/// For code that returns Diesel's error. See the example of [`JobError`].
impl From<JobError> for Diesel {
    fn from(error: JobError) -> Self {
        match error {
            JobError::Lock(error) => error.into(),
            error => Self::QueryBuilderError(Box::new(error)),
        }
    }
}
