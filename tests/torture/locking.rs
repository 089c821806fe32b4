//! How a section takes its locks: with this crate, or wrongly on purpose.

use std::time::Duration;

use clap::ValueEnum;
use diesel::r2d2::PooledConnection;
use diesel_named_lock::{NamedLock, NamedLockError, pool::NamedLockPool};

use crate::{by_hand, guards, history::Outcome, manager::Manager, subject::Subject, workload::Guarded};

pub type Conn = PooledConnection<Manager>;
pub type Locks = NamedLockPool<Manager>;

/// On which connection a section runs.
pub enum Place<'p> {
    On(&'p mut Conn),
    /// On the one that comes with its turn in the queue of the process, perhaps with the lock.
    InTurn(&'p Locks),
    /// By a guard.
    Owned(Conn, Guarded),
    OwnedInTurn(&'p Locks, Guarded),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Locking {
    /// This crate.
    Ours,
    /// `GET_LOCK` by hand, without a mistake as long as nobody kills anything.
    ByHand,
    /// The lock goes back into the pool with its connection.
    ReleaseSkipped,
    /// The next holder gets in before the update is there.
    ReleasedBeforeCommit,
    /// After an error, of the acquire or of the release, nothing is released.
    ErrorsTakenForNotHeld,
    /// A release that is struck once is not asked for again: the session is killed.
    KilledWhenStruck,
    /// What the server answers to `GET_LOCK` is not looked at.
    AnswersIgnored,
    /// There is one slot more than there are permits.
    OnePermitTooMany,
    /// Who gets no permit in time leaves the turnstile closed behind itself.
    TurnstileKept,
    /// An exclusive section keeps others out, and does not wait for those that are inside.
    ExclusiveBesideShared,
}

impl Locking {
    /// Whether it is wrong with permits and shared locks only.
    pub fn is_of_permits(self) -> bool {
        matches!(self, Self::OnePermitTooMany | Self::TurnstileKept | Self::ExclusiveBesideShared)
    }
}

/// What the caller asks for.
#[derive(Debug, Clone)]
pub struct Order {
    pub subject: Subject,
    /// `None`: for ever.
    pub timeout: Option<Duration>,
    pub reentrant: bool,
    pub transaction: bool,
}

impl Order {
    pub fn lock(&self) -> Result<NamedLock, NamedLockError> {
        let mut lock = self.subject.lock()?;
        lock = self.timeout.map_or(lock.clone().wait_forever(), |timeout| lock.timeout(timeout));
        Ok(if self.reentrant { lock.reentrant() } else { lock })
    }
}

/// What the caller is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    pub outcome: Outcome,
    /// Nobody else had the lock from before the work to after it.
    pub alone: bool,
}

#[derive(Debug)]
pub enum WorkError {
    Lock(NamedLockError),
    /// A statement failed.
    Database,
    /// The work was to fail.
    Chosen,
}

pub type Work<'w> = dyn FnMut(&mut Conn) -> Result<(), WorkError> + Send + 'w;

pub fn section(locking: Locking, place: Place<'_>, order: &Order, work: &mut Work<'_>) -> Verdict {
    match (locking, place) {
        (Locking::Ours, place) => ours(place, order, work).unwrap_or_else(|error| told_by(&error)),
        (by_hand, Place::On(conn)) => by_hand::section(by_hand, conn, order, work),
        _ => unreachable!("no queue and no guard by hand"),
    }
}

fn ours(place: Place<'_>, order: &Order, work: &mut Work<'_>) -> Result<Verdict, NamedLockError> {
    let (lock, transaction) = (order.lock()?, order.transaction);
    let section = match place {
        Place::On(conn) if transaction => return Ok(of_transaction(&lock.run_transaction(conn, work))),
        Place::InTurn(locks) if transaction => return Ok(of_transaction(&locks.run_transaction(&lock, work))),
        Place::On(conn) => lock.section(conn, work)?,
        Place::InTurn(locks) => locks.section(&lock, work)?,
        Place::Owned(conn, Guarded { watched }) => {
            let guard = lock.acquire(conn).map_err(|failed| failed.error)?;
            return Ok(guards::section(guard, watched, transaction, work));
        }
        Place::OwnedInTurn(locks, Guarded { watched }) => {
            return Ok(guards::section(locks.acquire(&lock)?, watched, transaction, work));
        }
    };
    Ok(of_section(&section.value, section.error.as_ref()))
}

/// The work's error wins over that of the lock: who gets it learns nothing of the lock.
pub fn of_transaction(outcome: &Result<(), WorkError>) -> Verdict {
    match outcome {
        Ok(()) => Verdict { outcome: Outcome::Ok, alone: true },
        Err(WorkError::Lock(error)) => told_by(error),
        Err(error) => Verdict { outcome: of_work(error), alone: false },
    }
}

pub fn of_section(value: &Result<(), WorkError>, error: Option<&NamedLockError>) -> Verdict {
    match (value, error) {
        (_, Some(error)) => told_by(error),
        (Ok(()), None) => Verdict { outcome: Outcome::Ok, alone: true },
        (Err(error), None) => Verdict { outcome: of_work(error), alone: true },
    }
}

pub fn of_work(error: &WorkError) -> Outcome {
    match error {
        WorkError::Lock(error) => told_by(error).outcome,
        WorkError::Database => Outcome::WorkBroke,
        WorkError::Chosen => Outcome::WorkFailed,
    }
}

pub fn told_by(error: &NamedLockError) -> Verdict {
    let outcome = match error {
        NamedLockError::Timeout { .. } | NamedLockError::NoConnection { .. } => Outcome::Timeout,
        NamedLockError::AlreadyHeld { .. } => Outcome::AlreadyHeld,
        NamedLockError::OpenTransaction { .. } => Outcome::OpenTransaction,
        NamedLockError::TransactionLeftOpen { .. } => Outcome::LeftOpen,
        NamedLockError::Deadlock { .. } => Outcome::Deadlock,
        NamedLockError::Interrupted { .. } => Outcome::Interrupted,
        NamedLockError::Lost { .. } => Outcome::Lost,
        NamedLockError::ConnectionSwapped { .. } => Outcome::Swapped,
        NamedLockError::Broken { .. } => Outcome::Broken,
        NamedLockError::Database(_) => Outcome::WorkBroke,
        _ => Outcome::Refused,
    };
    Verdict { outcome, alone: false }
}

impl From<NamedLockError> for WorkError {
    fn from(error: NamedLockError) -> Self {
        match error {
            NamedLockError::Database(_) => Self::Database,
            error => Self::Lock(error),
        }
    }
}

impl From<diesel::result::Error> for WorkError {
    fn from(_: diesel::result::Error) -> Self {
        Self::Database
    }
}
