//! Jobs on async connections: [`crate::job`], which says what they are, with the same options, ledger and errors.

use std::{fmt::Display, panic::resume_unwind, time::Duration};

use super::{
    NamedLockConnection, section,
    unfinished::{finished, unfinished},
    work::{AsyncWork, caught},
};
pub use crate::job::{JobError, JobOutcome, JobState, JobStatus};
use crate::{
    driver::nonblocking::Nonblocking,
    error::NamedLockError,
    job::{
        self,
        protocol::{Due, not_run, text_of_panic},
    },
    lock::NamedLock,
    name::LockName,
    names::Names,
    section::Request,
};

/// Work that one machine is to do, of all that try: [`job::SingletonJob`] for async connections.
///
/// The options are documented there; each is the same here, and so is the ledger. The two convert into each other by `From`.
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
///             diesel::sql_query("CALL nightly_report()").execute(conn).await?;
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
    /// Returns [`NamedLockError::InvalidName`]; never for a [`LockName`].
    pub fn new(name: impl TryInto<LockName, Error: Into<NamedLockError>>) -> Result<Self, JobError> {
        job::SingletonJob::new(name).map(Self)
    }

    /// Runs at most once in each `interval`, like [`SingletonJob::at_most_every`](crate::job::SingletonJob::at_most_every).
    pub fn at_most_every(self, interval: Duration) -> Self {
        Self(self.0.at_most_every(interval))
    }

    /// Runs once for this key, like [`SingletonJob::once_for`](crate::job::SingletonJob::once_for).
    pub fn once_for(self, key: impl ToString) -> Self {
        Self(self.0.once_for(key))
    }

    /// Sets when a run that never ended is due again, like
    /// [`SingletonJob::retry_abandoned_after`](crate::job::SingletonJob::retry_abandoned_after). Defaults to at once.
    pub fn retry_abandoned_after(self, time: Duration) -> Self {
        Self(self.0.retry_abandoned_after(time))
    }

    /// Lets a run that failed count as one that succeeded, like
    /// [`SingletonJob::no_retry_after_failure`](crate::job::SingletonJob::no_retry_after_failure).
    pub fn no_retry_after_failure(self) -> Self {
        Self(self.0.no_retry_after_failure())
    }

    /// Returns the name of the job and of its lock.
    #[must_use]
    pub fn name(&self) -> &LockName {
        self.0.name()
    }

    /// Runs `work` if the job is due and runs nowhere else; does not wait.
    ///
    /// [`SingletonJob::run`](crate::job::SingletonJob::run) says what is recorded, and when. With a ledger, eleven round trips on a warm
    /// connection.
    ///
    /// If the future is dropped, the session is [given up](super#cancellation), and the run shows as
    /// [`Abandoned`](JobState::Abandoned), as if its process had been killed.
    ///
    /// # Errors
    ///
    /// Returns the error of `work`; it wins over one of this crate, which is then logged at `warn`. Otherwise a [`JobError`], by
    /// `E::from`; its documentation says for which `work` has run.
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
            let (names, request) = parts(&job.lock)?;
            let mut begun = match section::begin(conn, names, request).await {
                Ok(begun) => begun,
                Err(not_begun) => return Ok(not_run(not_begun.with_holder().await.into_parts().1)?),
            };
            let ran = caught(run_begun(&job, begun.conn(), work)).await;
            let section = begun.finish(ran).await.section;
            job.released(section.value.unwrap_or_else(|panic| resume_unwind(panic)), section.error)
        }
    }

    /// Returns what the ledger says of the job's last run, like [`SingletonJob::status`](crate::job::SingletonJob::status); `None` if it
    /// never ran.
    ///
    /// If the future is dropped, the connection is marked broken.
    ///
    /// # Errors
    ///
    /// Returns [`JobError::NoLedger`], [`JobError::Ledger`], or an error for options that can't be.
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

fn parts(lock: &NamedLock) -> Result<(Names, Request), JobError> {
    Ok((lock.locks().clone(), lock.request()?))
}

/// Inside the section over the job's lock.
async fn run_begun<C, T, E, F>(job: &job::SingletonJob, conn: &mut C, work: F) -> Result<JobOutcome<T>, E>
where
    C: NamedLockConnection,
    T: Send,
    E: From<JobError> + Display + Send,
    for<'r> F: AsyncFnOnce(&'r mut C) -> Result<T, E> + AsyncWork<&'r mut C, Result<T, E>, Future: Send> + Send,
{
    if !job.has_ledger() {
        return work(conn).await.map(JobOutcome::Ran);
    }
    let past = match job.due::<Nonblocking, C>(conn).await? {
        Due::Now(past) => past,
        Due::At(next) => return Ok(JobOutcome::NotDue { next }),
    };
    let (names, request) = parts(&job.lock.clone().reentrant())?;
    let mut begun = match section::begin(&mut *conn, names, request).await {
        Ok(begun) => begun,
        Err(not_begun) => return Err(JobError::from(not_begun.into_parts().1).into()),
    };
    let worked = match job.start::<Nonblocking, C>(begun.conn(), &past).await {
        Ok(()) => Ok(caught(async { work(begun.conn()).await }).await),
        Err(error) => Err(error),
    };
    let section = begun.finish(worked).await.section;
    match section.value? {
        Ok(result) => job.end::<Nonblocking, C, T, E>(conn, result, section.error).await,
        Err(panic) => {
            job.fail::<Nonblocking, C>(conn, text_of_panic(&*panic)).await;
            resume_unwind(panic)
        }
    }
}
