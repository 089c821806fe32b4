//! A run on a blocking connection, from the question whether it is due to the end in the ledger.

use std::{
    fmt::Display,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
};

use super::{
    JobError, JobOutcome, SingletonJob,
    protocol::{Due, text_of_panic},
};
use crate::driver::{
    blocking::{Blocking, ready},
    status::NamedLockConnection,
};

impl SingletonJob {
    pub(super) fn run_if_due<C, T, E, F>(&self, conn: &mut C, work: F) -> Result<JobOutcome<T>, E>
    where
        C: NamedLockConnection,
        E: From<JobError> + Display,
        F: FnOnce(&mut C) -> Result<T, E>,
    {
        let past = match ready(self.due::<Blocking, C>(conn))? {
            Due::Now(past) => past,
            Due::At(next) => return Ok(JobOutcome::NotDue { next }),
        };
        let section = self.lock.clone().reentrant();
        let start = |conn: &mut C| ready(self.start::<Blocking, C>(conn, &past));
        let run = || section.section(conn, |conn| start(conn).map(|()| work(conn)));
        match catch_unwind(AssertUnwindSafe(run)) {
            Ok(section) => {
                let section = section.map_err(JobError::from)?;
                ready(self.end::<Blocking, C, T, E>(conn, section.value?, section.error))
            }
            Err(panic) => {
                ready(self.fail::<Blocking, C>(conn, text_of_panic(&*panic)));
                resume_unwind(panic);
            }
        }
    }
}
