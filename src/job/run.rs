//! A run on a blocking connection, from the question whether it is due to the end in the ledger.

use std::{
    fmt::Display,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
};

use super::{
    JobError, JobOutcome, SingletonJob,
    protocol::{Due, Look, not_run, text_of_panic},
};
use crate::{
    blocking::section::{self, Begun},
    driver::{
        blocking::{Blocking, ready},
        status::NamedLockConnection,
    },
};

impl SingletonJob {
    pub(super) fn run_if_due<C, T, E, F>(&self, conn: &mut C, work: F) -> Result<JobOutcome<T>, E>
    where
        C: NamedLockConnection,
        E: From<JobError> + Display,
        F: FnOnce(&mut C) -> Result<T, E>,
    {
        let autocommits = match ready(self.look::<Blocking, C>(conn)) {
            Look::NotDue(next) => return Ok(JobOutcome::NotDue { next }),
            Look::Unclear { autocommits } => autocommits,
        };
        let request = self.lock.request().map_err(JobError::from)?;
        let mut begun = match section::begin(conn, self.lock.locks().clone(), request) {
            Ok(begun) => begun,
            Err((conn, error)) => return Ok(not_run(section::with_holder(error, conn))?),
        };
        let ran = self.run_begun(&mut begun, autocommits, work);
        let section = begun.finish(ran).1;
        self.released(section.value, section.error)
    }

    /// Inside the section over the job's lock.
    fn run_begun<C, T, E, F>(&self, begun: &mut Begun<&mut C>, autocommits: bool, work: F) -> Result<JobOutcome<T>, E>
    where
        C: NamedLockConnection,
        E: From<JobError> + Display,
        F: FnOnce(&mut C) -> Result<T, E>,
    {
        if !self.has_ledger() {
            return work(begun.conn()).map(JobOutcome::Ran);
        }
        let past = match ready(self.due::<Blocking, C>(begun.conn(), autocommits))? {
            Due::Now(past) => past,
            Due::At(next) => return Ok(JobOutcome::NotDue { next }),
        };
        let start = |conn: &mut C| ready(self.start::<Blocking, C>(conn, &past));
        let run = || begun.inside().run(|conn| start(conn).map(|()| work(conn)));
        match catch_unwind(AssertUnwindSafe(run)) {
            Ok(section) => ready(self.end::<Blocking, C, T, E>(begun.conn(), section.value?, section.error)),
            Err(panic) => {
                ready(self.fail::<Blocking, C>(begun.conn(), text_of_panic(&*panic)));
                resume_unwind(panic);
            }
        }
    }
}
