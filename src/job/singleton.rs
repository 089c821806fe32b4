//! A job, described once and run by any machine.

#[cfg(feature = "blocking")]
use std::fmt::Display;
use std::time::Duration;

use super::{JobError, due::Policy};
#[cfg(feature = "blocking")]
use super::{JobOutcome, JobStatus, protocol::not_run};
#[cfg(feature = "blocking")]
use crate::driver::{
    blocking::{Blocking, ready},
    status::NamedLockConnection,
};
use crate::{error::NamedLockError, lock::NamedLock, name::LockName};

/// Work that one machine is to do, of all that try: at most once in an interval, once for a key, or just not twice at the
/// same time.
///
/// Described once, run by any thread on any connection; cheap to clone. The lock is not enough: where three machines' cron
/// fires within two seconds and the job takes 100 ms, each gets the lock in turn, and the job runs three times. So
/// [`at_most_every`](Self::at_most_every) and [`once_for`](Self::once_for) keep a *ledger*, a table of the runs:
///
/// ```text
/// machine 1   lock ─ due? yes ─ write the start ─ work ─ write the end ─ release       Ran
/// machine 2        lock: held by machine 1                                              Busy
/// machine 3                                             two seconds later: lock ─ due? no ─ release     NotDue
/// ```
///
/// ```no_run
/// use std::{sync::LazyLock, time::Duration};
///
/// use diesel::{MysqlConnection, prelude::*};
/// use diesel_named_lock::job::{JobError, JobOutcome, SingletonJob};
///
/// static NIGHTLY: LazyLock<SingletonJob> = LazyLock::new(|| {
///     SingletonJob::new("shop:nightly-report").expect("a valid name").at_most_every(Duration::from_secs(20 * 3600))
/// });
///
/// fn nightly(conn: &mut MysqlConnection) -> Result<(), JobError> {
///     let outcome = NIGHTLY.run(conn, |conn| {
///         diesel::sql_query("CALL nightly_report()").execute(conn)?;
///         Ok::<_, JobError>(())
///     })?;
///     match outcome {
///         JobOutcome::Ran(()) => println!("done"),
///         JobOutcome::Busy(_) | JobOutcome::NotDue { .. } => {}
///     }
///     Ok(())
/// }
/// ```
///
/// # The ledger
///
/// Table `named_lock_ledger` in the connection's default database, made by this crate's migration
/// `create_named_lock_ledger`; its SQL is in the folder `migrations/`, to copy. A job without either option needs no table.
///
/// There is one row for each job, its last run of all, and one for each of its keys. Names and keys are kept as bytes:
/// `Report` and `report` are two jobs, even where MySQL takes them for one lock. The account needs `SELECT`, `INSERT` and
/// `UPDATE`. Nothing is ever removed; keys that won't come back can be, at any time:
///
/// ```sql
/// DELETE FROM named_lock_ledger WHERE job_key <> '' AND started_at < UTC_TIMESTAMP() - INTERVAL 1 YEAR;
/// ```
///
/// To make a job due by hand: `DELETE FROM named_lock_ledger WHERE job = 'shop:nightly-report'`, while it does not run.
///
/// # Clocks
///
/// All times are the server's, in UTC, to the microsecond; clocks and time zones of machines and sessions don't matter. Where
/// the server's clock was set back, so that the last run seems to begin in the future, a whole interval must pass from when
/// an attempt first sees that, and where the clock is put right meanwhile, from the run's start: never two runs in one
/// interval. So a clock that was years ahead delays a job by an interval or two, and not by years. A clock that jumps ahead
/// ends an interval early: nothing can tell.
///
/// # What it does not promise
///
/// * **Not exactly once.** A run that fails, or that is killed in its midst, has done part of its work, and by default the
///   job is due again at once. [`no_retry_after_failure`](Self::no_retry_after_failure) and
///   [`retry_abandoned_after`](Self::retry_abandoned_after) say otherwise.
/// * **Not alone after its session ended.** The lock dies with the session; work that goes on all the same is taken for
///   abandoned, and another machine may begin. The first learns it at its end, by [`NamedLockError::Lost`].
/// * **One configuration for one name.** Machines that run a job by different options each see their own rules kept.
/// * **One server, one database.** The lock is the server's, the ledger is the database's: two applications with a job of the
///   same name in two databases keep each other [`Busy`](JobOutcome::Busy). [`LockName::scoped`] tells them apart.
/// * **Not the session as it was.** Whatever the session is set to, the ledger's entries are committed. So a job with a
///   ledger ends transactions that Diesel does not know of, see below.
///
/// # Transactions by raw SQL, and sessions without autocommit
///
/// A transaction that raw SQL has begun (`batch_execute("BEGIN")`, or any statement after `SET autocommit = 0`) is unseen by
/// Diesel. The ledger's entries must not become part of it. So a job with a ledger:
///
/// * **commits** what is uncommitted when [`run`](Self::run) is called,
/// * **commits** what the closure leaves uncommitted, if it returns `Ok`: together with the end of the run, both or neither,
/// * **rolls back** what the closure leaves uncommitted, if it returns an error or panics.
///
/// If `KILL QUERY` strikes the first of these commits, what was uncommitted may be rolled back without an error: on MariaDB,
/// if that commit waited for a backup. So commit before the call.
///
/// A transaction that the closure has begun by Diesel and leaves open is rolled back, and is an error:
/// [`TransactionLeftOpen`](NamedLockError::TransactionLeftOpen). Inside Diesel's test transaction, nothing is committed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[must_use = "a `SingletonJob` does nothing until it is run"]
pub struct SingletonJob {
    pub(crate) lock: NamedLock,
    pub(super) key: Option<String>,
    pub(super) policy: Policy,
}

impl SingletonJob {
    /// The longest key that the ledger keeps, in bytes of UTF-8.
    pub const MAX_KEY_BYTES: usize = 255;

    /// The longest interval: 1000 years, so that the next run can be told as a `DATETIME`, as all times of the ledger.
    pub const MAX_INTERVAL: Duration = Duration::from_secs(1000 * 31_556_952);

    /// A job of this name, which is also that of its lock. `name` is a `&str`, `String`, [`LockName`] or `&LockName`.
    ///
    /// Without [`at_most_every`](Self::at_most_every) or [`once_for`](Self::once_for) it is skipped while it runs elsewhere, and
    /// runs otherwise: no table is needed, and nothing is kept.
    ///
    /// ```no_run
    /// # use diesel::MysqlConnection;
    /// # use diesel_named_lock::job::{JobError, JobOutcome, SingletonJob};
    /// # fn clean_up(_: &mut MysqlConnection) -> Result<u32, JobError> { Ok(0) }
    /// # fn run(conn: &mut MysqlConnection) -> Result<(), JobError> {
    /// if let JobOutcome::Ran(removed) = SingletonJob::new("shop:clean-up")?.run(conn, clean_up)? {
    ///     println!("{removed} removed");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`NamedLockError::InvalidName`]; never for a [`LockName`].
    pub fn new(name: impl TryInto<LockName, Error: Into<NamedLockError>>) -> Result<Self, JobError> {
        Ok(Self { lock: NamedLock::new(name)?.no_wait(), key: None, policy: Policy::default() })
    }

    /// Runs at most once in each `interval`, from start to start, whatever it runs [for](Self::once_for).
    ///
    /// For a job that cron fires once a day, take less than a day, 20 hours, say: cron is late by some seconds, one day more
    /// and the next day less. Or take `once_for` with the date.
    ///
    /// From more than zero to [`MAX_INTERVAL`](Self::MAX_INTERVAL); any other is an error of [`run`](Self::run), before any
    /// I/O.
    pub fn at_most_every(mut self, interval: Duration) -> Self {
        self.policy.interval = Some(interval);
        self
    }

    /// Runs once for this key, such as a date or the number of an order, and never again.
    ///
    /// The lock is one for all keys of the job: while it runs for one, it is [`Busy`](JobOutcome::Busy) for the others. With
    /// [`at_most_every`](Self::at_most_every) as well, both must allow a run.
    ///
    /// From 1 to [`MAX_KEY_BYTES`](Self::MAX_KEY_BYTES) bytes; any other is an error of [`run`](Self::run), before any I/O.
    ///
    /// ```
    /// # use diesel_named_lock::job::{JobError, SingletonJob};
    /// let job = SingletonJob::new("shop:daily-invoices")?.once_for("2026-11-24");
    /// # Ok::<_, JobError>(())
    /// ```
    pub fn once_for(mut self, key: impl ToString) -> Self {
        self.key = Some(key.to_string());
        self
    }

    /// After a run that never ended, because its process or its session was killed, the job is due so long after that run's
    /// start. Default: at once.
    ///
    /// At most [`MAX_INTERVAL`](Self::MAX_INTERVAL); more is an error of [`run`](Self::run), before any I/O.
    pub fn retry_abandoned_after(mut self, time: Duration) -> Self {
        self.policy.abandoned_after = time;
        self
    }

    /// A run that failed counts as one that succeeded: the job is due when its interval is over, and for the same key never
    /// again. Default: it is due again at once, when some machine next tries, since the work was not done.
    pub fn no_retry_after_failure(mut self) -> Self {
        self.policy.no_retry_after_failure = true;
        self
    }

    /// The name of the job and of its lock.
    #[must_use]
    pub fn name(&self) -> &LockName {
        &self.lock.names()[0]
    }

    /// Runs `work` if the job is due and runs nowhere else; does not wait.
    ///
    /// The start is in the ledger, committed, before the work begins, and the end before the lock is released. The work's
    /// error is recorded as its text (`{:#}`, which for `anyhow` includes the causes), hence `E: Display`, and comes back
    /// unchanged. A panic is recorded, and goes on. A transaction that the work leaves open is rolled back before the end is
    /// recorded; [raw SQL](Self#transactions-by-raw-sql-and-sessions-without-autocommit) is a matter of its own.
    ///
    /// For the types of `work` and of its error, [`with_named_lock`](crate::NamedLockExt::with_named_lock) has a word of advice.
    ///
    /// With a ledger, ten round trips on a warm connection; four if the job is not due. Without, two. (Our test
    /// `a_run_takes_ten_round_trips_and_one_that_is_not_due_four` counts them.)
    ///
    /// A statement of the ledger that `KILL QUERY` strikes is asked again, up to 20 times: none of them does harm if it is
    /// executed twice.
    ///
    /// ```no_run
    /// # use diesel::{MysqlConnection, prelude::*};
    /// # use diesel_named_lock::job::{JobError, JobOutcome, SingletonJob};
    /// # fn invoices(conn: &mut MysqlConnection, today: &str) -> Result<(), JobError> {
    /// let job = SingletonJob::new("shop:daily-invoices")?.once_for(today);
    /// let outcome = job.run(conn, |conn| {
    ///     let rows = diesel::sql_query("INSERT INTO invoices SELECT * FROM orders").execute(conn)?;
    ///     Ok::<_, JobError>(rows)
    /// })?;
    /// match outcome {
    ///     JobOutcome::Ran(rows) => println!("{rows} invoices"),
    ///     JobOutcome::Busy(holder) => println!("being done: {holder:?}"),
    ///     JobOutcome::NotDue { .. } => println!("done already"),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// What `work` returns as `Err`; it wins over an error of ours, which is then logged at `warn`. Otherwise a [`JobError`],
    /// by `E::from`; its documentation says for which the work has run.
    #[cfg(feature = "blocking")]
    pub fn run<C, T, E, F>(&self, conn: &mut C, work: F) -> Result<JobOutcome<T>, E>
    where
        C: NamedLockConnection,
        E: From<JobError> + Display,
        F: FnOnce(&mut C) -> Result<T, E>,
    {
        self.check()?;
        let section = self.lock.section(conn, |conn| match self.has_ledger() {
            true => self.run_if_due(conn, work),
            false => work(conn).map(JobOutcome::Ran),
        });
        match section {
            Ok(section) => self.released(section.value, section.error),
            Err(error) => Ok(not_run(error)?),
        }
    }

    /// What the ledger says of the job's last run: for this key where the job has [one](Self::once_for), otherwise for any.
    /// `None`: it never ran. Of the options, only the key matters.
    ///
    /// Takes no lock, waits for none, and changes nothing: for a health page. One round trip on a warm connection; two for a run
    /// that goes on, and four for one that was abandoned. Inside a transaction it shows what that transaction sees, which may be old. Ask the server that the job
    /// runs on: a replica has the rows but knows of no lock, and takes each run that goes on for abandoned.
    ///
    /// ```no_run
    /// # use diesel::MysqlConnection;
    /// # use diesel_named_lock::job::{JobError, JobState, SingletonJob};
    /// fn health(conn: &mut MysqlConnection) -> Result<String, JobError> {
    ///     let Some(last) = SingletonJob::new("shop:nightly-report")?.status(conn)? else { return Ok("never ran".into()) };
    ///     let by = format!("process {} on {}", last.process_id, last.host);
    ///     Ok(match last.state {
    ///         JobState::Running => format!("running since {:?}, by {by}", last.started),
    ///         JobState::Failed { ended, error, .. } => format!("failed at {ended:?}, by {by}: {error}"),
    ///         state => format!("{state:?}, by {by}"),
    ///     })
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`JobError::NoLedger`], [`JobError::Ledger`], and those for options that can't be.
    #[cfg(feature = "blocking")]
    pub fn status<C: NamedLockConnection>(&self, conn: &mut C) -> Result<Option<JobStatus>, JobError> {
        ready(self.last_run::<Blocking, C>(conn))
    }
}
