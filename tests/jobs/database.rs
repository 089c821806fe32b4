//! A database of a test's own, with the ledger, and short ways to run a job in it.

use std::time::{Duration, SystemTime};

use diesel::{connection::SimpleConnection, prelude::*};
use diesel_named_lock::job::{JobError, JobOutcome, JobState, JobStatus, SingletonJob};
use url::Url;

use crate::world::*;

pub const UP: &str = include_str!("../../migrations/2026-11-23-143157-namedlock_create_named_lock_ledger/up.sql");
const DOWN: &str = include_str!("../../migrations/2026-11-23-143157-namedlock_create_named_lock_ledger/down.sql");

pub const HOUR: Duration = Duration::from_secs(3600);

/// Dropped with this value.
pub struct Database {
    name: String,
    url: Url,
}

impl Database {
    pub fn with_ledger() -> Self {
        let this = Self::empty();
        this.connect().batch_execute(UP).expect("the migration");
        this
    }

    pub fn empty() -> Self {
        let name = fresh("jobs");
        connect().batch_execute(&format!("CREATE DATABASE {name}")).expect("a database");
        let mut url = Url::parse(server().url()).expect("a URL");
        url.set_path(&name);
        Self { name, url }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    pub fn tcp_url(&self) -> String {
        let mut url = Url::parse(server().tcp_url()).expect("a URL");
        url.set_path(&self.name);
        url.into()
    }

    pub fn connect(&self) -> MysqlConnection {
        MysqlConnection::establish(self.url()).expect("a connection to the database of this test")
    }

    /// The last run of the job, which there is, as another session sees it.
    #[track_caller]
    pub fn status(&self, job: &SingletonJob) -> JobStatus {
        job.status(&mut self.connect()).expect("the ledger").expect("a run in the ledger")
    }

    pub fn undo_migration(&self) {
        self.connect().batch_execute(DOWN).expect("the migration's way down");
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let _ = connect().batch_execute(&format!("DROP DATABASE {}", self.name));
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
