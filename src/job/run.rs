//! One run: is it due, its start, the work, its end. All of it while the lock is held.

use std::{
    any::Any,
    fmt::Display,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
};

use diesel::result::{Error, QueryResult};
use log::warn;

use super::{
    JobError, JobOutcome, SingletonJob,
    due::{End, Past, Verdict},
    ledger::Entry,
};
use crate::{
    driver::{self, NamedLockConnection},
    log_target::TARGET,
};

impl SingletonJob {
    pub(super) fn run_if_due<C, T, E, F>(&self, conn: &mut C, work: F) -> Result<JobOutcome<T>, E>
    where
        C: NamedLockConnection,
        E: From<JobError> + Display,
        F: FnOnce(&mut C) -> Result<T, E>,
    {
        if let Verdict::NotDue(next) = self.verdict(conn)? {
            return Ok(JobOutcome::NotDue { next });
        }
        // A section of its own, so that what the work left open is rolled back, and a lost lock known, before the end is
        // recorded.
        let section = self.lock.clone().reentrant();
        let start = |conn: &mut C| self.ledger().start(conn).map_err(|source| self.unusable(source));
        let run = || section.section(conn, |conn| start(conn).map(|()| work(conn)));
        let section = match catch_unwind(AssertUnwindSafe(run)) {
            Ok(section) => section.map_err(JobError::from)?,
            Err(panic) => {
                self.warn_unless(self.ledger().end(conn, Some(&format!("panicked: {}", message(&*panic)))));
                resume_unwind(panic);
            }
        };
        let result = match (section.value?, section.error) {
            (Ok(_), Some(lost)) => Err(JobError::from(lost).into()),
            (result, _) => result,
        };
        // In the alternate form, `anyhow` and its like tell the causes, too.
        let error = result.as_ref().err().map(|error| format!("{error:#}"));
        match (result, self.ledger().end(conn, error.as_deref())) {
            (Ok(_), Err(source)) => Err(JobError::NotRecorded { job: self.name().clone(), source }.into()),
            (result, recorded) => {
                self.warn_unless(recorded);
                result.map(JobOutcome::Ran)
            }
        }
    }

    fn verdict<C: NamedLockConnection>(&self, conn: &mut C) -> Result<Verdict, JobError> {
        // In a test transaction, the locks that this takes would stay, and tests wait for each other.
        let current = !driver::is_in_test_transaction(conn);
        let entries = self.read(conn, current)?;
        let Some(now) = entries.first().map(|entry| entry.now) else { return Ok(Verdict::Due) };
        let past = |for_key| entries.iter().find(|entry| entry.is_for_key() == for_key).map(past);
        let verdict = self.policy.verdict(now.0, past(false), past(true));
        let set_back = entries.iter().any(|entry| entry.counts_from > now);
        if set_back && verdict != Verdict::Due {
            self.ledger().count_from_now(conn).map_err(|source| self.unusable(source))?;
        }
        Ok(verdict)
    }

    pub(super) fn unusable(&self, source: Error) -> JobError {
        JobError::Ledger { job: self.name().clone(), source }
    }

    /// For where another error, or a panic, is on its way to the caller.
    fn warn_unless(&self, recorded: QueryResult<()>) {
        if let Err(error) = recorded {
            warn!(target: TARGET, "job `{}`: its end is not in the ledger: {error}", self.name());
        }
    }
}

/// While the lock is ours, a run that has not ended never will.
fn past(entry: &Entry) -> Past {
    let end = match (entry.ended, entry.error()) {
        (None, _) => End::Abandoned,
        (Some(_), None) => End::Succeeded,
        (Some(_), Some(_)) => End::Failed,
    };
    Past { started: entry.started.0, counts_from: entry.counts_from.0, end }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref().map(String::as_str)).unwrap_or("with a value that is no text")
}
