//! The protocol of a job, written once over any driver. The caller acquires the lock and runs the closure.

use std::{
    any::Any,
    fmt::{Display, Write},
    panic::{AssertUnwindSafe, catch_unwind},
    time::SystemTime,
};

use diesel::result::QueryResult;
use log::warn;

use super::{
    JobError, JobOutcome, JobState, JobStatus, SingletonJob,
    due::{End, Past, Verdict},
    ledger::{Ledger, commit_themselves},
};
use crate::{
    driver::Driver,
    error::NamedLockError,
    log_target::TARGET,
    section::ask::who_holds,
    statement::{ask_again::Failed, ledger::Entry},
};

/// Whether a job is due now.
pub(crate) enum Due {
    Now(PastRuns),
    At(Option<SystemTime>),
}

pub(crate) struct PastRuns(Vec<Entry>);

/// The answer of a look at the ledger without the lock.
pub(crate) enum Look {
    NotDue(Option<SystemTime>),
    /// Ask again under the lock.
    Unclear {
        /// No transaction is open, and each statement is committed by itself.
        autocommits: bool,
    },
}

impl SingletonJob {
    /// Without a ledger, a job is always due.
    pub(crate) fn has_ledger(&self) -> bool {
        self.policy.interval.is_some() || self.key.is_some()
    }

    /// Checks the options.
    pub(crate) fn check(&self) -> Result<(), JobError> {
        let job = || self.name().clone();
        if let Some(given) = self.policy.interval.filter(|&time| time.is_zero() || time > Self::MAX_INTERVAL) {
            return Err(JobError::InvalidInterval { job: job(), given });
        }
        if let Some(given) = Some(self.policy.abandoned_after).filter(|&time| time > Self::MAX_INTERVAL) {
            return Err(JobError::InvalidRetryTime { job: job(), given });
        }
        match &self.key {
            Some(key) if !(1..=Self::MAX_KEY_BYTES).contains(&key.len()) => {
                Err(JobError::InvalidKey { job: job(), key: key.clone() })
            }
            _ => Ok(()),
        }
    }

    /// Returns whether the job is due, without the lock.
    ///
    /// It is "not due" only if the answer under the lock would be the same at this moment: nobody holds the lock, each run has ended, and
    /// nothing is read that is stale or not committed. So a transaction that raw SQL has begun, and whose snapshot may be old, is
    /// committed first. MySQL has no variable that says whether there is one.
    pub(crate) async fn look<D: Driver<C>, C>(&self, conn: &mut C) -> Look {
        // The same failure comes under the lock, and is reported then.
        let nothing_seen = Look::Unclear { autocommits: false };
        if !self.has_ledger() || !matches!(D::depth(conn), Ok(0)) {
            return nothing_seen;
        }
        let Ok(entries) = self.ledger().read_current::<D, C>(conn).await else { return nothing_seen };
        if self.ledger().end_read::<D, C>(conn, &entries).await.is_err() {
            return nothing_seen;
        }
        let is_clear = |entry: &Entry| entry.is_settled() && entry.ended.is_some() && entry.counts_from <= entry.now;
        match self.verdict(&entries) {
            Verdict::NotDue(next) if entries.iter().all(is_clear) => Look::NotDue(next),
            _ => Look::Unclear { autocommits: commit_themselves(&entries) },
        }
    }

    /// Call it while the lock is held. `autocommits`: what the look has found.
    pub(crate) async fn due<D: Driver<C>, C>(&self, conn: &mut C, autocommits: bool) -> Result<Due, JobError> {
        let ledger = self.ledger();
        let read = match autocommits {
            true => ledger.read::<D, C>(conn).await,
            false => ledger.read_current::<D, C>(conn).await,
        };
        let entries = self.entries(read)?;
        let Verdict::NotDue(next) = self.verdict(&entries) else { return Ok(Due::Now(PastRuns(entries))) };
        let set_back = entries.iter().any(|entry| entry.counts_from > entry.now);
        let left = match set_back {
            true => ledger.count_from_now::<D, C>(conn).await,
            false => ledger.end_read::<D, C>(conn, &entries).await,
        };
        left.map_err(|failed| self.unusable(failed))?;
        Ok(Due::At(next))
    }

    fn verdict(&self, entries: &[Entry]) -> Verdict {
        let Some(now) = entries.first().map(|entry| entry.now) else { return Verdict::Due };
        let past = |for_key| entries.iter().find(|entry| entry.is_for_key() == for_key).map(past);
        self.policy.verdict(now.0, past(false), past(true))
    }

    /// Records that a run begins. Call it in a section of its own, so that what the closure leaves open is rolled back, and a lost lock is
    /// known, before the end is recorded.
    pub(crate) async fn start<D: Driver<C>, C>(&self, conn: &mut C, past: &PastRuns) -> Result<(), JobError> {
        self.ledger().start::<D, C>(conn, &past.0).await.map_err(|failed| self.unusable(failed))
    }

    /// Records how the closure and that section ended.
    pub(crate) async fn end<D, C, T, E>(
        &self,
        conn: &mut C,
        result: Result<T, E>,
        lost: Option<NamedLockError>,
    ) -> Result<JobOutcome<T>, E>
    where
        D: Driver<C>,
        E: From<JobError> + Display,
    {
        let result = match (result, lost) {
            (Ok(_), Some(error)) => Err(JobError::from(error).into()),
            (result, _) => result,
        };
        match result {
            Ok(value) => match self.ledger().succeed::<D, C>(conn).await {
                Ok(()) => Ok(JobOutcome::Ran(value)),
                Err(source) => Err(JobError::NotRecorded { job: self.name().clone(), source }.into()),
            },
            Err(error) => {
                self.fail::<D, C>(conn, text(&error)).await;
                Err(error)
            }
        }
    }

    /// Records a failure, while an error or a panic is on its way to the caller.
    pub(crate) async fn fail<D: Driver<C>, C>(&self, conn: &mut C, text: String) {
        let recorded: QueryResult<()> = self.ledger().fail::<D, C>(conn, &text).await;
        if let Err(error) = recorded {
            warn!(target: TARGET, "job `{}`: its end is not in the ledger: {error}", self.name());
        }
    }

    /// Returns the outcome for the caller, once the lock is released, or is known to be lost.
    pub(crate) fn released<T, E: From<JobError>>(
        &self,
        ran: Result<JobOutcome<T>, E>,
        lost: Option<NamedLockError>,
    ) -> Result<JobOutcome<T>, E> {
        match (ran, lost) {
            // With a ledger, the lock was still held when the closure had ended. A later loss can't matter to it.
            (Ok(_), Some(error)) if !self.has_ledger() => Err(JobError::from(error).into()),
            (ran, _) => ran,
        }
    }

    /// Returns the last run.
    pub(crate) async fn last_run<D: Driver<C>, C>(&self, conn: &mut C) -> Result<Option<JobStatus>, JobError> {
        self.check()?;
        let mut seen = None;
        loop {
            let entries = self.entries(self.ledger().read::<D, C>(conn).await)?;
            let entry = entries.iter().find(|entry| entry.is_for_key() == self.key.is_some());
            let Some(entry) = entry else { return Ok(None) };
            let holder = match entry.ended {
                Some(_) => None,
                None => {
                    let asked = who_holds::<D, C>(conn, self.name()).await;
                    asked.map_err(|source| JobError::Ledger { job: self.name().clone(), source })?.holder
                }
            };
            let status = Some(JobStatus::new(entry, holder));
            // The lock was looked at after the row was read: the run may have ended in between.
            let abandoned = matches!(status, Some(JobStatus { state: JobState::Abandoned, .. }));
            if !abandoned || status == seen {
                return Ok(status);
            }
            seen = status;
        }
    }

    fn ledger(&self) -> Ledger<'_> {
        Ledger { job: self.name(), key: self.key.as_deref() }
    }

    /// Returns the rows, or an error if there is no ledger.
    fn entries(&self, read: Result<Vec<Entry>, Failed>) -> Result<Vec<Entry>, JobError> {
        read.map_err(|failed| match failed.is_no_table() {
            true => JobError::NoLedger { job: self.name().clone(), source: failed.error },
            false => self.unusable(failed),
        })
    }

    fn unusable(&self, failed: Failed) -> JobError {
        JobError::Ledger { job: self.name().clone(), source: failed.error }
    }
}

/// Returns the outcome for the caller if the lock is not acquired.
pub(crate) fn not_run<T>(error: NamedLockError) -> Result<JobOutcome<T>, JobError> {
    match error {
        NamedLockError::Timeout { holder, .. } => Ok(JobOutcome::Busy(holder.map(|holder| *holder))),
        error => Err(error.into()),
    }
}

/// While this session holds the lock, a run that has not ended never will.
fn past(entry: &Entry) -> Past {
    let end = match (entry.ended, &entry.error) {
        (None, _) => End::Abandoned,
        (Some(_), None) => End::Succeeded,
        (Some(_), Some(_)) => End::Failed,
    };
    Past { started: entry.started.0, counts_from: entry.counts_from.0, end }
}

/// Returns the error's text. In the alternate form, `anyhow` and similar crates include the causes.
///
/// An error whose text can't be formatted is still a failure.
fn text(error: &impl Display) -> String {
    let mut text = String::new();
    match catch_unwind(AssertUnwindSafe(|| write!(text, "{error:#}"))) {
        Ok(Ok(())) => {}
        Ok(Err(_)) => text.push_str(" (its text could not be formatted)"),
        Err(panic) => text.push_str(&format!(" (its text {})", text_of_panic(&*panic))),
    }
    text
}

pub(crate) fn text_of_panic(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref().map(String::as_str));
    format!("panicked: {}", text.unwrap_or("with a value that is no text"))
}
