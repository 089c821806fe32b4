//! Reading the runs of all jobs.

use super::{JobError, LedgerEntry, SingletonJob, outcome::JobStatus};
#[cfg(feature = "blocking")]
use crate::driver::{
    blocking::{Blocking, ready},
    status::NamedLockConnection,
};
use crate::{
    driver::Driver,
    statement::{
        ask_again::{Failed, Unless, again},
        ledger,
    },
};

type Diesel = diesel::result::Error;

/// The error of [`read_ledger`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// The connection's database has no ledger, or none that this account may read. Or no database is selected.
    #[error(
        "the connection has no database, or that has no table `named_lock_ledger` that this account may see: run this \
         crate's migration `00000000000002-namedlock_create_named_lock_ledger`, or the SQL in its folder `migrations/`"
    )]
    #[non_exhaustive]
    NoTable {
        /// The server's error.
        source: Diesel,
    },

    /// Any other error of Diesel or the server.
    #[error("the ledger of jobs can't be read: {0}")]
    Database(Diesel),
}

/// Returns the last run of every job, and of every key, in the ledger of the connection's database. They are ordered by job, and that of
/// the job comes before those of its keys. For one job, use [`SingletonJob::status`].
///
/// One round trip, and three for each run that has not ended. This is no snapshot: a run may end while the next one is looked up.
///
/// ```no_run
/// # use diesel::MysqlConnection;
/// use diesel_named_lock::job::{JobState, LedgerError, read_ledger};
///
/// # fn show(conn: &mut MysqlConnection) -> Result<(), LedgerError> {
/// for entry in read_ledger(conn)? {
///     if let JobState::Failed { error, .. } = &entry.status.state {
///         println!("{} failed: {error}", entry.job);
///     }
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// Returns [`LedgerError::NoTable`], or [`LedgerError::Database`] if the server does not answer.
#[cfg(feature = "blocking")]
pub fn read_ledger<C: NamedLockConnection>(conn: &mut C) -> Result<Vec<LedgerEntry>, LedgerError> {
    ready(read_all::<Blocking, C>(conn))
}

pub(crate) async fn read_all<D: Driver<C>, C>(conn: &mut C) -> Result<Vec<LedgerEntry>, LedgerError> {
    let rows = again!(D, conn, Unless::Interrupted, ledger::read_all::<D, C>(conn).await)?;
    let mut entries = Vec::with_capacity(rows.len());
    for (job, row) in rows {
        let (job, key) = (job.0, row.key());
        // A run that has not ended may still be running, so it is looked up. A name that is not valid was written by hand.
        let status = match (row.ended, SingletonJob::new(job.as_str())) {
            (None, Ok(of_name)) => SingletonJob { key: key.clone(), ..of_name }.last_run::<D, C>(conn).await?,
            _ => None,
        };
        let status = status.unwrap_or_else(|| JobStatus::new(&row, None));
        entries.push(LedgerEntry { job, key, status });
    }
    Ok(entries)
}

impl From<Failed> for LedgerError {
    fn from(failed: Failed) -> Self {
        match failed.is_no_table() {
            true => Self::NoTable { source: failed.error },
            false => Self::Database(failed.error),
        }
    }
}

impl From<JobError> for LedgerError {
    fn from(error: JobError) -> Self {
        match error {
            JobError::NoLedger { source, .. } => Self::NoTable { source },
            JobError::Ledger { source, .. } => Self::Database(source),
            error => Self::Database(error.into()),
        }
    }
}
