//! One run: is it due, its start, the work, its end. All of it while the lock is held.

use std::{
    any::Any,
    fmt::{Display, Write},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
};

use diesel::result::QueryResult;
use log::warn;

use super::{
    JobError, JobOutcome, SingletonJob,
    due::{End, Past, Verdict},
};
use crate::{
    driver::status::NamedLockConnection,
    log_target::TARGET,
    statement::{ask_again::Failed, ledger::Entry},
};

impl SingletonJob {
    pub(super) fn run_if_due<C, T, E, F>(&self, conn: &mut C, work: F) -> Result<JobOutcome<T>, E>
    where
        C: NamedLockConnection,
        E: From<JobError> + Display,
        F: FnOnce(&mut C) -> Result<T, E>,
    {
        let entries = self.entries(self.ledger().read_current(conn))?;
        if let Verdict::NotDue(next) = self.verdict(conn, &entries)? {
            return Ok(JobOutcome::NotDue { next });
        }
        // A section of its own, so that what the work left open is rolled back, and a lost lock known, before the end is
        // recorded.
        let section = self.lock.clone().reentrant();
        let start = |conn: &mut C| self.ledger().start(conn, &entries).map_err(|failed| self.unusable(failed));
        let run = || section.section(conn, |conn| start(conn).map(|()| work(conn)));
        let section = match catch_unwind(AssertUnwindSafe(run)) {
            Ok(section) => section.map_err(JobError::from)?,
            Err(panic) => {
                self.warn_unless(self.ledger().fail(conn, &format!("panicked: {}", message(&*panic))));
                resume_unwind(panic);
            }
        };
        let result = match (section.value?, section.error) {
            (Ok(_), Some(error)) => Err(JobError::from(error).into()),
            (result, _) => result,
        };
        match result {
            Ok(value) => match self.ledger().succeed(conn) {
                Ok(()) => Ok(JobOutcome::Ran(value)),
                Err(source) => Err(JobError::NotRecorded { job: self.name().clone(), source }.into()),
            },
            Err(error) => {
                self.warn_unless(self.ledger().fail(conn, &text(&error)));
                Err(error)
            }
        }
    }

    fn verdict<C: NamedLockConnection>(&self, conn: &mut C, entries: &[Entry]) -> Result<Verdict, JobError> {
        let Some(now) = entries.first().map(|entry| entry.now) else { return Ok(Verdict::Due) };
        let past = |for_key| entries.iter().find(|entry| entry.is_for_key() == for_key).map(past);
        let verdict = self.policy.verdict(now.0, past(false), past(true));
        if verdict == Verdict::Due {
            return Ok(verdict);
        }
        let set_back = entries.iter().any(|entry| entry.counts_from > now);
        let ledger = self.ledger();
        let left = if set_back { ledger.count_from_now(conn) } else { ledger.end_read(conn, entries) };
        left.map_err(|failed| self.unusable(failed))?;
        Ok(verdict)
    }

    /// What was read, or that there is no ledger.
    pub(super) fn entries(&self, read: Result<Vec<Entry>, Failed>) -> Result<Vec<Entry>, JobError> {
        read.map_err(|failed| match failed.is_no_table() {
            true => JobError::NoLedger { job: self.name().clone(), source: failed.error },
            false => self.unusable(failed),
        })
    }

    pub(super) fn unusable(&self, failed: Failed) -> JobError {
        JobError::Ledger { job: self.name().clone(), source: failed.error }
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
    let end = match (entry.ended, &entry.error) {
        (None, _) => End::Abandoned,
        (Some(_), None) => End::Succeeded,
        (Some(_), Some(_)) => End::Failed,
    };
    Past { started: entry.started.0, counts_from: entry.counts_from.0, end }
}

/// The error's text. In the alternate form, `anyhow` and its like tell the causes, too.
///
/// An error that can't tell its text has failed all the same.
fn text(error: &impl Display) -> String {
    let mut text = String::new();
    match catch_unwind(AssertUnwindSafe(|| write!(text, "{error:#}"))) {
        Ok(Ok(())) => {}
        Ok(Err(_)) => text.push_str(" (its text could not be formatted)"),
        Err(panic) => text.push_str(&format!(" (its text panicked: {})", message(&*panic))),
    }
    text
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref().map(String::as_str)).unwrap_or("with a value that is no text")
}
