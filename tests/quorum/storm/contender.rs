//! A thread that runs one section after the other, and tells the history what became of each.

use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::PathBuf,
    thread::sleep,
    time::Duration,
};

use diesel::{MysqlConnection, prelude::*, r2d2::NopErrorHandler, r2d2::Pool, sql_query};
use diesel_named_lock::{
    NamedLock, NamedLockError,
    quorum::{QuorumError, QuorumGuard},
};
use testkit::world::{Manager, begin};

use super::history::{Event, Log, Nanos, Outcome, SectionId, Thread, now};
use crate::stage::{TestQuorum, nodes_of};

/// What all contenders have in common.
#[derive(Debug, Clone)]
pub struct Scene {
    pub urls: [String; 3],
    pub name: String,
    pub history: PathBuf,
    pub answer_within: Duration,
}

/// After this time, a session whose client is silent is ended by its server. A third of it is the time between two questions, and a lost node
/// is acquired again after two or three of them.
pub const IDLE_LIMIT: Duration = Duration::from_secs(2);

impl Scene {
    /// With pools of its own, like a process. A server that is back is found within a second.
    pub fn quorum(&self) -> TestQuorum {
        let pool = |url: &String| {
            Pool::builder()
                .max_size(4)
                .min_idle(Some(0))
                .connection_timeout(Duration::from_secs(1))
                .error_handler(Box::new(NopErrorHandler))
                .build_unchecked(Manager::new(url))
        };
        nodes_of(&self.urls.each_ref().map(pool)).answer_within(self.answer_within).build().expect("a quorum")
    }

    pub fn lock(&self) -> NamedLock {
        NamedLock::new(&self.name).expect("a valid name").idle_limit(IDLE_LIMIT)
    }
}

#[derive(Debug, Clone, Copy)]
enum How {
    Run,
    TryRun,
    /// By a guard, on whose connection nothing is done.
    Release,
    Drop,
    WithConn,
}

#[derive(Debug, Clone, Copy)]
enum Work {
    Sleep,
    /// The same on the server.
    Query,
    LeaveOpen,
    Fail,
    Panic,
}

#[derive(Debug, Clone, Copy)]
pub struct Plan {
    how: How,
    work: Work,
    time: Duration,
    timeout: Duration,
}

impl Plan {
    pub fn random() -> Self {
        let how = match fastrand::u32(..100) {
            0..50 => How::Run,
            50..60 => How::TryRun,
            60..75 => How::Release,
            75..80 => How::Drop,
            _ => How::WithConn,
        };
        let work = match fastrand::u32(..100) {
            0..60 => Work::Sleep,
            60..90 => Work::Query,
            90..95 => Work::LeaveOpen,
            95..98 => Work::Fail,
            _ => Work::Panic,
        };
        // Now and then as long as a server is stopped, or as it takes to acquire a lost node again.
        let time = Duration::from_micros(match fastrand::u32(..300) {
            0 => fastrand::u64(500_000..5_000_000),
            1..15 => fastrand::u64(20_000..100_000),
            _ => fastrand::u64(..4_000),
        });
        let timeout = Duration::from_millis(fastrand::choice([30, 500, 2_000, 3_000, 5_000]).expect("a choice"));
        Self { how, work, time, timeout }
    }

    /// Nothing in it fails by itself.
    pub fn calm() -> Self {
        let how = fastrand::choice([How::Run, How::TryRun, How::Release, How::WithConn]).expect("a choice");
        let work = fastrand::choice([Work::Sleep, Work::Query]).expect("a choice");
        Self { how, work, time: Duration::from_millis(1), timeout: Duration::from_secs(20) }
    }
}

pub struct Contender {
    pub quorum: TestQuorum,
    lock: NamedLock,
    log: Log,
    thread: Thread,
    sections: u32,
}

impl Contender {
    pub fn new(scene: &Scene, quorum: TestQuorum, thread: Thread) -> Self {
        let log = Log::open(&scene.history).expect("the history");
        Self { quorum, lock: scene.lock(), log, thread, sections: 0 }
    }

    pub fn contend(&mut self) {
        self.section(Plan::random());
        if fastrand::bool() {
            sleep(Duration::from_millis(fastrand::u64(..10)));
        }
    }

    pub fn section(&mut self, plan: Plan) -> Outcome {
        self.sections += 1;
        let id = SectionId { of: self.thread, number: self.sections };
        let timeout = if matches!(plan.how, How::TryRun) { Duration::ZERO } else { plan.timeout };
        let stay = Stay { log: &self.log, id, over: Cell::new(None), leaves_open: Cell::new(false) };
        self.log.write(&Event::Asked { id, at: now(), timeout: timeout.as_nanos() as Nanos });
        let ended = catch_unwind(AssertUnwindSafe(|| self.perform(plan, &stay)));
        let at = now();
        let outcome = ended.unwrap_or(Outcome::Panicked);
        if stay.leaves_open.get() && outcome == Outcome::Ok {
            self.found("its transaction was rolled back, and it was told `Ok`");
        }
        self.log.write(&Event::Ended { id, at, over: stay.over.get(), outcome });
        outcome
    }

    fn perform(&self, plan: Plan, stay: &Stay<'_>) -> Outcome {
        let lock = self.lock.clone().timeout(plan.timeout);
        match plan.how {
            How::Run => self.outcome(self.quorum.run(&lock, |conn| stay.spend(|| stay.work(conn, plan)))),
            How::TryRun => match self.quorum.try_run(&lock, |conn| stay.spend(|| stay.work(conn, plan))) {
                Ok(None) => Outcome::Busy,
                ended => self.outcome(ended.map(drop)),
            },
            How::Release | How::Drop | How::WithConn => match self.quorum.acquire(&lock) {
                Ok(guard) => self.hold(guard, plan, stay),
                Err(error) => self.outcome(Err(error.into())),
            },
        }
    }

    /// The release says whether the lock was held, also if the closure failed.
    fn hold(&self, mut guard: QuorumGuard<Manager>, plan: Plan, stay: &Stay<'_>) -> Outcome {
        stay.spend(|| match plan.how {
            How::WithConn => {
                let parts = fastrand::u32(1..=4);
                let part = Plan { time: plan.time / parts, ..plan };
                // The release has the last word, whatever fails here.
                (0..parts).for_each(|_| drop(guard.with_conn(|conn| stay.work(conn, part))));
            }
            _ => sleep(plan.time),
        });
        let is_lost = guard.is_lost();
        if matches!(plan.how, How::Drop) {
            return Outcome::Dropped;
        }
        let released = guard.release();
        if is_lost && released.is_ok() {
            self.found("it knew that it was lost, and was told `Ok`");
        }
        self.outcome(released.map_err(Failed::from))
    }

    fn outcome(&self, ended: Result<(), Failed>) -> Outcome {
        let Err(failed) = ended else { return Outcome::Ok };
        match failed {
            Failed::Work => Outcome::WorkFailed,
            Failed::Lock(QuorumError::Lost { .. }) => Outcome::Lost,
            Failed::Lock(QuorumError::Timeout { .. }) => Outcome::Timeout,
            Failed::Lock(QuorumError::NoMajority { .. }) => Outcome::NoMajority,
            Failed::Lock(QuorumError::Lock(NamedLockError::TransactionLeftOpen { .. })) => Outcome::LeftOpen,
            Failed::Lock(error) => {
                self.found(&error.to_string());
                Outcome::Impossible
            }
        }
    }

    fn found(&self, what: &str) {
        self.log.write(&Event::Found { process: self.thread.process, what: what.to_owned() });
    }
}

/// Why a section has failed.
enum Failed {
    /// A statement was struck, or the closure was to fail.
    Work,
    Lock(QuorumError),
}

impl From<QuorumError> for Failed {
    fn from(error: QuorumError) -> Self {
        Self::Lock(error)
    }
}

impl From<diesel::result::Error> for Failed {
    fn from(_: diesel::result::Error) -> Self {
        Self::Work
    }
}

/// What the closure does.
struct Stay<'a> {
    log: &'a Log,
    id: SectionId,
    over: Cell<Option<Nanos>>,
    leaves_open: Cell<bool>,
}

impl Stay<'_> {
    /// Notes when it begins and when it is over.
    fn spend<T>(&self, closure: impl FnOnce() -> T) -> T {
        let began = now();
        self.log.write(&Event::Began { id: self.id, at: began });
        let value = catch_unwind(AssertUnwindSafe(closure));
        self.over.set(Some(now()));
        value.unwrap_or_else(|panic| resume_unwind(panic))
    }

    fn work(&self, conn: &mut MysqlConnection, plan: Plan) -> Result<(), Failed> {
        match plan.work {
            Work::Query => drop(sql_query(format!("DO SLEEP({})", plan.time.as_secs_f64())).execute(conn)?),
            Work::LeaveOpen => {
                // In a transaction that is open already, a savepoint.
                begin(conn)?;
                self.leaves_open.set(true);
            }
            Work::Sleep | Work::Fail | Work::Panic => sleep(plan.time),
        }
        match plan.work {
            Work::Fail => Err(Failed::Work),
            // Without a message.
            Work::Panic => resume_unwind(Box::new("on purpose")),
            _ => Ok(()),
        }
    }
}
