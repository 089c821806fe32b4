//! A database of a test's own, with the ledger, and short ways to run a job in it.

use std::time::{Duration, SystemTime};

use diesel::{connection::SimpleConnection, prelude::*};
use diesel_named_lock::job::{JobError, JobOutcome, JobState, JobStatus, SingletonJob};
pub use testkit::database::{Database, database};
use testkit::world::*;

pub const UP: &str = include_str!("../../migrations/00000000000002-namedlock_create_named_lock_ledger/up.sql");
const DOWN: &str = include_str!("../../migrations/00000000000002-namedlock_create_named_lock_ledger/down.sql");

pub const HOUR: Duration = Duration::from_secs(3600);

pub fn database_with_ledger() -> Database {
    let database = database();
    database.connect().batch_execute(UP).expect("the migration");
    database
}

pub trait Ledger {
    /// The last run of the job, which there is, as another session sees it.
    fn status(&self, job: &SingletonJob) -> JobStatus;

    fn undo_migration(&self);
}

impl Ledger for Database {
    #[track_caller]
    fn status(&self, job: &SingletonJob) -> JobStatus {
        job.status(&mut self.connect()).expect("the ledger").expect("a run in the ledger")
    }

    fn undo_migration(&self) {
        self.connect().batch_execute(DOWN).expect("the migration's way down");
    }
}

/// A job of a name that no other test has.
pub fn job(what: &str) -> SingletonJob {
    SingletonJob::new(fresh(what)).expect("a valid name")
}

/// Runs the job with work that does nothing but succeed.
pub fn run(job: &SingletonJob, conn: &mut MysqlConnection) -> Result<JobOutcome<()>, JobError> {
    job.run(conn, |_| Ok(()))
}

/// Runs the job with work that fails.
pub fn fail(job: &SingletonJob, conn: &mut MysqlConnection) {
    let failed = job.run(conn, |_| Err::<(), _>(JobError::from(diesel::result::Error::NotFound)));
    assert!(failed.is_err(), "{failed:?}");
}

/// As if its process had been killed: the session ends inside the work.
pub fn abandon(job: &SingletonJob, database: &Database) {
    let mut conn = database.connect();
    let own = id(&mut conn);
    let lost = job.run(&mut conn, |_| {
        kill(own);
        wait_until("the killed session to be gone", || !is_alive(own));
        Ok::<_, JobError>(())
    });
    assert!(lost.is_err(), "{lost:?}");
    wait_until("the lock to be free", || holder(job.name().as_str()).is_none());
    assert_eq!(database.status(job).state, JobState::Abandoned);
}

pub const RAN: JobOutcome<()> = JobOutcome::Ran(());

pub fn not_before(next: SystemTime) -> JobOutcome<()> {
    JobOutcome::NotDue { next: Some(next) }
}

pub const NEVER_AGAIN: JobOutcome<()> = JobOutcome::NotDue { next: None };

/// Sets this session's clock: so long after a day in 2030.
pub fn set_clock(conn: &mut MysqlConnection, after: Duration) -> SystemTime {
    let since_1970 = Duration::from_secs(1_900_000_000) + after;
    let set = format!("SET timestamp = {}.{:06}", since_1970.as_secs(), since_1970.subsec_micros());
    conn.batch_execute(&set).expect("the session's clock");
    SystemTime::UNIX_EPOCH + since_1970
}
