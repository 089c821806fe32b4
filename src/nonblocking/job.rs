//! Jobs on async connections. [`crate::job`] says what they are, and has the same options, ledger and errors.

use std::{fmt::Display, panic::resume_unwind, time::Duration};

use super::{
    NamedLockConnection,
    section::{self, Begun},
    unfinished::{finished, unfinished},
    work::{AsyncWork, caught},
};
pub use crate::job::{JobError, JobOutcome, JobState, JobStatus, LedgerEntry, LedgerError};
use crate::{
    driver::nonblocking::Nonblocking,
    error::NamedLockError,
    job::{
        self,
        protocol::{Due, Look, not_run, text_of_panic},
        whole_ledger,
    },
    name::LockName,
};

/// A job that one of several machines runs: [`job::SingletonJob`] for async connections.
///
/// The options are documented there. They and the ledger are the same here. The two types convert into each other by `From`.
///
/// ```no_run
/// use std::{sync::LazyLock, time::Duration};
///
/// use diesel_async::{AsyncMysqlConnection, RunQueryDsl};
/// use diesel_named_lock::nonblocking::job::{JobError, JobOutcome, SingletonJob};
///
/// static NIGHTLY: LazyLock<SingletonJob> = LazyLock::new(|| {
///     SingletonJob::new("shop:nightly-report").expect("a valid name").at_most_every(Duration::from_secs(20 * 3600))
/// });
///
/// async fn nightly(conn: &mut AsyncMysqlConnection) -> Result<(), JobError> {
///     let outcome = NIGHTLY
///         .run(conn, async |conn| {
///             diesel::sql_query("INSERT INTO report SELECT * FROM sales").execute(conn).await?;
///             Ok::<_, JobError>(())
///         })
///         .await?;
///     match outcome {
///         JobOutcome::Ran(()) => println!("done"),
///         JobOutcome::Busy(_) | JobOutcome::NotDue { .. } => {}
///     }
///     Ok(())
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[must_use = "a `SingletonJob` does nothing until it is run"]
pub struct SingletonJob(job::SingletonJob);

impl SingletonJob {
    /// Creates a job, like [`SingletonJob::new`](crate::job::SingletonJob::new).
    ///
    /// # Errors
    ///
    /// Returns [`NamedLockError::InvalidName`] if the name is not valid. Never fails for a [`LockName`].
    pub fn new(name: impl TryInto<LockName, Error: Into<NamedLockError>>) -> Result<Self, JobError> {
        job::SingletonJob::new(name).map(Self)
    }

    /// Limits the job to one run in each `interval`, like [`SingletonJob::at_most_every`](crate::job::SingletonJob::at_most_every).
    pub fn at_most_every(self, interval: Duration) -> Self {
        Self(self.0.at_most_every(interval))
    }

    /// Limits the job to one successful run for this key, like [`SingletonJob::once_for`](crate::job::SingletonJob::once_for).
    pub fn once_for(self, key: impl ToString) -> Self {
        Self(self.0.once_for(key))
    }

    /// Sets when a run that never ended is due again, like
    /// [`SingletonJob::retry_abandoned_after`](crate::job::SingletonJob::retry_abandoned_after). Defaults to at once.
    pub fn retry_abandoned_after(self, time: Duration) -> Self {
        Self(self.0.retry_abandoned_after(time))
    }

    /// Makes a failed run count like a successful one, like
    /// [`SingletonJob::no_retry_after_failure`](crate::job::SingletonJob::no_retry_after_failure).
    pub fn no_retry_after_failure(self) -> Self {
        Self(self.0.no_retry_after_failure())
    }

    /// Returns the name of the job, which is also the name of its lock.
    #[must_use]
    pub fn name(&self) -> &LockName {
        self.0.name()
    }

    /// Runs `work` if the job is due and does not run elsewhere. Does not wait.
    ///
    /// [`SingletonJob::run`](crate::job::SingletonJob::run) says what is recorded, and when. With a ledger, it costs eleven round trips on
    /// a warm connection, or three if the job is not due.
    ///
    /// If the future is dropped, the session is [given up](super#cancellation), and the run shows as
    /// [`Abandoned`](JobState::Abandoned), as if its process had been killed.
    ///
    /// # Errors
    ///
    /// Returns the error of `work`. It takes precedence over an error of this crate, which is then logged at `warn`. Otherwise returns a
    /// [`JobError`], converted by `E::from`. Its documentation says for which variants `work` has run.
    pub fn run<'a, 'c, C, T, E, F>(
        &self,
        conn: &'c mut C,
        work: F,
    ) -> impl Future<Output = Result<JobOutcome<T>, E>> + Send + use<'a, 'c, C, T, E, F>
    where
        C: NamedLockConnection,
        T: Send + 'a,
        E: From<JobError> + Display + Send + 'a,
        for<'r> F:
            AsyncFnOnce(&'r mut C) -> Result<T, E> + AsyncWork<&'r mut C, Result<T, E>, Future: Send> + Send + 'a,
        'a: 'c,
    {
        let job = self.0.clone();
        async move {
            job.check()?;
            let mut looking = unfinished(&mut *conn);
            let look = job.look::<Nonblocking, C>(&mut looking).await;
            let autocommits = match finished(looking, look) {
                Look::NotDue(next) => return Ok(JobOutcome::NotDue { next }),
                Look::Unclear { autocommits } => autocommits,
            };
            let (names, request) = (job.lock.locks().clone(), job.lock.request().map_err(JobError::from)?);
            let mut begun = match section::begin(conn, names, request).await {
                Ok(begun) => begun,
                Err(not_begun) => return Ok(not_run(not_begun.with_holder().await.into_parts().1)?),
            };
            let ran = caught(run_begun(&job, &mut begun, autocommits, work)).await;
            let section = begun.finish(ran).await.section;
            job.released(section.value.unwrap_or_else(|panic| resume_unwind(panic)), section.error)
        }
    }

    /// Returns the job's last run, from the ledger, like [`SingletonJob::status`](crate::job::SingletonJob::status). `None` if it never ran.
    ///
    /// If the future is dropped, the connection is marked broken.
    ///
    /// # Errors
    ///
    /// Returns [`JobError::NoLedger`], [`JobError::Ledger`], or the errors of invalid options.
    #[expect(clippy::manual_async_fn, reason = "`Send` is part of the signature, also for generic callers")]
    pub fn status<C: NamedLockConnection>(
        &self,
        conn: &mut C,
    ) -> impl Future<Output = Result<Option<JobStatus>, JobError>> + Send {
        async move {
            let mut conn = unfinished(conn);
            let last_run = self.0.last_run::<Nonblocking, C>(&mut conn).await;
            finished(conn, last_run)
        }
    }
}

/// Returns the last run of every job, and of every key, that the ledger of the connection's database knows, like
/// [`read_ledger`](fn@crate::job::read_ledger).
///
/// If the future is dropped, the connection is marked broken.
///
/// # Errors
///
/// Returns [`LedgerError::NoTable`], or [`LedgerError::Database`] if the server does not answer.
#[expect(clippy::manual_async_fn, reason = "`Send` is part of the signature, also for generic callers")]
pub fn read_ledger<C: NamedLockConnection>(
    conn: &mut C,
) -> impl Future<Output = Result<Vec<LedgerEntry>, LedgerError>> + Send {
    async move {
        let mut conn = unfinished(conn);
        let entries = whole_ledger::read_all::<Nonblocking, C>(&mut conn).await;
        finished(conn, entries)
    }
}

impl From<job::SingletonJob> for SingletonJob {
    fn from(job: job::SingletonJob) -> Self {
        Self(job)
    }
}

impl From<SingletonJob> for job::SingletonJob {
    fn from(SingletonJob(job): SingletonJob) -> Self {
        job
    }
}

/// Called inside the section over the job's lock.
async fn run_begun<C, T, E, F>(
    job: &job::SingletonJob,
    begun: &mut Begun<&mut C>,
    autocommits: bool,
    work: F,
) -> Result<JobOutcome<T>, E>
where
    C: NamedLockConnection,
    T: Send,
    E: From<JobError> + Display + Send,
    for<'r> F: AsyncFnOnce(&'r mut C) -> Result<T, E> + AsyncWork<&'r mut C, Result<T, E>, Future: Send> + Send,
{
    if !job.has_ledger() {
        return work(begun.conn()).await.map(JobOutcome::Ran);
    }
    let past = match job.due::<Nonblocking, C>(begun.conn(), autocommits).await? {
        Due::Now(past) => past,
        Due::At(next) => return Ok(JobOutcome::NotDue { next }),
    };
    let mut inner = begun.inside();
    let worked = match job.start::<Nonblocking, C>(inner.conn(), &past).await {
        Ok(()) => Ok(caught(async { work(inner.conn()).await }).await),
        Err(error) => Err(error),
    };
    let section = inner.finish(worked).await.section;
    match section.value? {
        Ok(result) => job.end::<Nonblocking, C, T, E>(begun.conn(), result, section.error).await,
        Err(panic) => {
            job.fail::<Nonblocking, C>(begun.conn(), text_of_panic(&*panic)).await;
            resume_unwind(panic)
        }
    }
}
