//! The description of a job.

#[cfg(feature = "blocking")]
use std::fmt::Display;
use std::time::Duration;

use super::{JobError, due::Policy};
#[cfg(feature = "blocking")]
use super::{JobOutcome, JobStatus};
#[cfg(feature = "blocking")]
use crate::driver::{
    blocking::{Blocking, ready},
    status::NamedLockConnection,
};
use crate::{error::NamedLockError, lock::NamedLock, name::LockName};

/// A job that one of several machines runs: at most once in an interval, once for a key, or just not twice at the same time.
///
/// Any thread can run it on any connection. Cheap to clone. A lock alone is not enough: if the cron of three machines fires within two
/// seconds and the job takes 100 ms, each machine gets the lock in turn, and the job runs three times. So
/// [`at_most_every`](Self::at_most_every) and [`once_for`](Self::once_for) keep a *ledger*, a table of the runs:
///
/// ```text
/// machine 1   lock ─ due? yes ─ write the start ─ work ─ write the end ─ release       Ran
/// machine 2        lock: held by machine 1                                              Busy
/// machine 3                                             two seconds later: due? no                      NotDue
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
///         diesel::sql_query("INSERT INTO report SELECT * FROM sales").execute(conn)?;
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
/// The ledger is the table `named_lock_ledger` in the connection's default database. This crate's migration
/// `00000000000002-namedlock_create_named_lock_ledger` creates it. Or copy its SQL from the folder `migrations/`. A job with neither option needs no table.
///
/// The table has one row for each job, for its last run, and one for each of the job's keys. Names and keys are kept as bytes: `Report`
/// and `report` are two jobs, although they are one lock on MySQL. The account needs `SELECT`, `INSERT` and `UPDATE`. Rows are never
/// removed. You may remove keys that won't come back, at any time:
///
/// ```sql
/// DELETE FROM named_lock_ledger WHERE job_key <> '' AND started_at < UTC_TIMESTAMP() - INTERVAL 1 YEAR;
/// ```
///
/// To make a job due by hand: `DELETE FROM named_lock_ledger WHERE job = 'shop:nightly-report'`, while it does not run.
///
/// # Clocks
///
/// All times are the server's, in UTC, in microseconds. Clocks and time zones of machines and sessions don't matter.
///
/// If the server's clock was set back, the last run may seem to start in the future. Then a whole interval must pass from the moment when
/// an attempt first sees that. If the clock is put right before that interval is over, the interval counts from the run's start. So there
/// are never two runs in one interval, and a clock that was years ahead delays a job by an interval or two, not by years. If the clock
/// jumps ahead, an interval ends early. Nothing can detect that.
///
/// # What it does not promise
///
/// * **Exactly once.** A run that fails or is killed has done a part of its work, and by default the job is due again at once.
///   [`no_retry_after_failure`](Self::no_retry_after_failure) and [`retry_abandoned_after`](Self::retry_abandoned_after) change that.
/// * **Exclusive after its session is gone.** The lock dies with the session. A closure that continues then counts as abandoned, and
///   another machine may start the job. The first machine learns that at the end, by [`NamedLockError::Lost`].
/// * **One configuration for one name.** If machines run a job with different options, each machine applies its own options.
/// * **Several databases.** The lock belongs to the server, the ledger to the database. If two applications have a job of the same name in
///   two databases, one is [`Busy`](JobOutcome::Busy) while the other runs. [`LockName::scoped`] separates them.
/// * **An unchanged session.** The ledger's entries are committed, whatever the session is set to. So a job with a ledger ends
///   transactions that Diesel does not know: see below.
///
/// # Transactions by raw SQL, and sessions without autocommit
///
/// A transaction that raw SQL has begun (`batch_execute("BEGIN")`, or any statement after `SET autocommit = 0`) is invisible to Diesel.
/// The ledger's entries must not become part of it. So a job with a ledger:
///
/// * **commits** what is uncommitted when [`run`](Self::run) is called,
/// * **commits** what the closure leaves uncommitted, if it returns `Ok`, together with the end of the run: both or neither,
/// * **rolls back** what the closure leaves uncommitted, if it returns an error or panics.
///
/// If `KILL QUERY` strikes the first of these commits, what was uncommitted may be rolled back without an error: on MariaDB,
/// if that commit waited for a backup. So commit before the call.
///
/// A transaction that the closure has begun by Diesel and leaves open is rolled back, and the run returns
/// [`TransactionLeftOpen`](NamedLockError::TransactionLeftOpen). Inside Diesel's test transaction, nothing is committed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[must_use = "a `SingletonJob` does nothing until it is run"]
pub struct SingletonJob {
    pub(crate) lock: NamedLock,
    pub(super) key: Option<String>,
    pub(super) policy: Policy,
}

impl SingletonJob {
    /// The maximum length of a key, in bytes of UTF-8.
    pub const MAX_KEY_BYTES: usize = 255;

    /// The longest interval: 1000 years. With it, the time of the next run still fits a `DATETIME` of the ledger.
    pub const MAX_INTERVAL: Duration = Duration::from_secs(1000 * 31_556_952);

    /// Creates a job whose lock has the same name. `name` is a `&str`, `String`, [`LockName`] or `&LockName`.
    ///
    /// Without [`at_most_every`](Self::at_most_every) and [`once_for`](Self::once_for), the job is skipped while it runs elsewhere, and runs
    /// otherwise. Then it needs no table, and nothing is recorded.
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
    /// Returns [`NamedLockError::InvalidName`] if the name is not valid. Never fails for a [`LockName`].
    pub fn new(name: impl TryInto<LockName, Error: Into<NamedLockError>>) -> Result<Self, JobError> {
        Ok(Self { lock: NamedLock::new(name)?.no_wait(), key: None, policy: Policy::default() })
    }

    /// Limits the job to one run in each `interval`, counted from start to start, for all [keys](Self::once_for) together.
    ///
    /// For a job that cron fires once a day, choose less than a day, such as 20 hours, because cron is not exact to the second. Or use
    /// `once_for` with the date.
    ///
    /// Must be greater than zero and at most [`MAX_INTERVAL`](Self::MAX_INTERVAL). Otherwise [`run`](Self::run) returns an error, before any
    /// I/O.
    pub fn at_most_every(mut self, interval: Duration) -> Self {
        self.policy.interval = Some(interval);
        self
    }

    /// Limits the job to one successful run for this key, such as a date or the number of an order.
    ///
    /// All keys of a job share its lock: while the job runs for one key, it is [`Busy`](JobOutcome::Busy) for the others. Together with
    /// [`at_most_every`](Self::at_most_every), both must allow a run.
    ///
    /// A key has 1 to [`MAX_KEY_BYTES`](Self::MAX_KEY_BYTES) bytes. Otherwise [`run`](Self::run) returns an error, before any I/O.
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

    /// Sets when the job is due again after a run that never ended because its process or its session was killed. `time` counts from that
    /// run's start.
    ///
    /// Defaults to zero: at once.
    ///
    /// Must be at most [`MAX_INTERVAL`](Self::MAX_INTERVAL). Otherwise [`run`](Self::run) returns an error, before any I/O.
    pub fn retry_abandoned_after(mut self, time: Duration) -> Self {
        self.policy.abandoned_after = time;
        self
    }

    /// Makes a failed run count like a successful one: the job is due when its interval is over, and never again for the same key.
    ///
    /// Defaults to off: after a failure, the job is due again at once, and runs when a machine next tries.
    pub fn no_retry_after_failure(mut self) -> Self {
        self.policy.no_retry_after_failure = true;
        self
    }

    /// Returns the name of the job, which is also the name of its lock.
    #[must_use]
    pub fn name(&self) -> &LockName {
        &self.lock.names()[0]
    }

    /// Runs `work` if the job is due and does not run elsewhere. Does not wait.
    ///
    /// The start is committed to the ledger before `work` runs, and the end before the lock is released. The error of `work` is recorded as
    /// text (`{:#}`, which includes the causes with `anyhow`), hence `E: Display`, and is returned unchanged. A panic is recorded, and then
    /// resumed. A transaction that the closure leaves open is rolled back before the end is recorded. For raw SQL, see
    /// [transactions by raw SQL](Self#transactions-by-raw-sql-and-sessions-without-autocommit).
    ///
    /// [`with_named_lock`](crate::NamedLockExt::with_named_lock) says how to help the compiler with the types of `work` and of its error.
    ///
    /// A job with a ledger first checks without the lock whether it is due. It does not acquire the lock if that check is certain to say
    /// "no": the lock is free, each run has ended, and the ledger is read as it is committed now. So asking often is cheap.
    ///
    /// With a ledger, costs nine round trips on a warm connection, or two if the job is not due. Without a ledger, two.
    ///
    /// A statement of the ledger that `KILL QUERY` strikes is repeated, up to 20 times. No statement does harm if it is executed twice.
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
    /// Returns the error of `work`. It takes precedence over an error of this crate, which is then logged at `warn`. Otherwise returns a
    /// [`JobError`], converted by `E::from`. Its documentation says for which variants the closure has run.
    #[cfg(feature = "blocking")]
    pub fn run<C, T, E, F>(&self, conn: &mut C, work: F) -> Result<JobOutcome<T>, E>
    where
        C: NamedLockConnection,
        E: From<JobError> + Display,
        F: FnOnce(&mut C) -> Result<T, E>,
    {
        self.check()?;
        self.run_if_due(conn, work)
    }

    /// Returns the job's last run, from the ledger. `None` if it never ran.
    ///
    /// If the job has a [key](Self::once_for), that is the last run for this key. The other options don't matter.
    ///
    /// Acquires no lock, waits for none, and changes nothing, so it suits a health page. Costs one round trip on a warm connection, two for a
    /// run that has not ended, and four for an abandoned run. Inside a transaction, it shows what that transaction sees, which may be
    /// outdated. Ask the server that the job runs on. A replica has the rows but not the lock, so a run that has not ended looks abandoned
    /// there.
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
    /// Returns [`JobError::NoLedger`] or [`JobError::Ledger`], or the errors of invalid options.
    #[cfg(feature = "blocking")]
    pub fn status<C: NamedLockConnection>(&self, conn: &mut C) -> Result<Option<JobStatus>, JobError> {
        ready(self.last_run::<Blocking, C>(conn))
    }
}
