//! The one place where acquire → work → release happens, on every way out.

pub(crate) mod refusal;

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    slice,
    time::{Duration, Instant},
};

use log::{debug, warn};
use scopeguard::ScopeGuard;

use crate::{
    driver::{self, MysqlSession},
    error::NamedLockError,
    log_target::TARGET,
    name::LockName,
    section::refusal::{Busy, Refusal},
    statement::{
        acquire::{self, Answer},
        failure, kill, release, who_holds,
    },
    timeout::Timeout,
};

/// What a section over one or several locks is to do. The names are in locking order.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan<'a> {
    pub(crate) names: &'a [LockName],
    pub(crate) timeout: Timeout,
    pub(crate) reentrant: bool,
    /// The session that holds the locks already, since the section before has [kept](Ended::kept) them.
    pub(crate) kept: Option<u64>,
}

/// Whether the locks are kept at the end, for a section that comes next on this connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    No,
    /// If the server confirms that they are held.
    Confirmed,
    /// If no transaction is open; the server is not asked.
    Unconfirmed,
}

/// How a section that ran has ended.
pub(crate) struct Ended<T> {
    pub(crate) section: Section<T>,
    /// The session that holds the locks still: they were kept.
    pub(crate) kept: Option<u64>,
}

/// A section that ran: what the work returned, and whether it was alone to the end.
///
/// Got from [`NamedLock::section`](crate::NamedLock::section), whose example shows its use.
#[derive(Debug)]
#[non_exhaustive]
#[must_use = "a section whose `lost` is `Some` was not what it promised to be"]
pub struct Section<T> {
    /// What the work returned, whatever became of the lock.
    pub value: T,
    /// From the call to the grant of the (last) lock.
    pub waited: Duration,
    /// From the grant to the confirmed release.
    pub held: Duration,
    /// `None` where the server confirmed at the end that the lock was still ours, and released it. Otherwise what was
    /// lost: the lock ([`Lost`](NamedLockError::Lost), [`ConnectionSwapped`](NamedLockError::ConnectionSwapped)) or a
    /// transaction ([`TransactionLeftOpen`](NamedLockError::TransactionLeftOpen), with the lock held to the end).
    pub lost: Option<NamedLockError>,
}

/// Runs `work` while all of the plan's locks are held. `keep` is asked at the end, and where all is in order, they are then
/// not released.
///
/// # Errors
///
/// Where the work has not run. What happened after it began stands in [`Section::lost`].
pub(crate) fn run<C: MysqlSession, T>(
    conn: &mut C,
    plan: Plan<'_>,
    work: impl FnOnce(&mut C) -> T,
    keep: impl FnOnce(&T) -> Keep,
) -> Result<Result<Ended<T>, Busy>, NamedLockError> {
    let start = Instant::now();
    if plan.kept.is_none() {
        check(conn, &plan.names[0])?;
    }
    // Armed before the acquire, since a hook of the application may panic there, too, and to the end of the release.
    let mut hold = scopeguard::guard_on_unwind(Hold::new(conn, plan), Hold::let_go_unwinding);

    if let Err(refusal) = hold.take_all(start) {
        // Nothing was written under these locks: all that matters is whether the connection survived it.
        let _ = hold.let_go();
        return refusal.explain(start.elapsed(), hold.ended).map(Err);
    }
    let waited = start.elapsed();
    debug!(target: TARGET, waited:?, connection = hold.session; "acquired {plan}");

    let granted = Instant::now();
    let value = work(hold.conn);
    let kept = match keep(&value) {
        Keep::No => false,
        Keep::Confirmed => hold.has_none_open() && hold.holds_all(),
        Keep::Unconfirmed => hold.has_none_open(),
    };
    let lost = if kept { None } else { hold.let_go().err() };
    let held = granted.elapsed();
    match &lost {
        None if kept => debug!(target: TARGET, waited:?, held:?, connection = hold.session; "keeping {plan}"),
        None => debug!(target: TARGET, waited:?, held:?, connection = hold.session; "released {plan}"),
        Some(error) => warn!(target: TARGET, waited:?, held:?, connection = hold.session; "{error}"),
    }
    let kept = kept.then_some(hold.session);
    // By hand: a section in a destructor may end while a panic from elsewhere unwinds, and that is none of its own.
    drop(ScopeGuard::into_inner(hold));
    Ok(Ok(Ended { section: Section { value, waited, held, lost }, kept }))
}

/// Lets go of a lock that was kept for a section which did not come.
pub(crate) fn let_go<C: MysqlSession>(conn: &mut C, name: &LockName, session: u64) {
    let plan = Plan { names: slice::from_ref(name), timeout: Timeout::Never, reentrant: false, kept: Some(session) };
    let mut hold = scopeguard::guard_on_unwind(Hold::new(conn, plan), Hold::let_go_unwinding);
    match hold.let_go() {
        Ok(()) => debug!(target: TARGET, connection = hold.session; "released {plan}"),
        // The section before was alone: it has seen the lock held at its end.
        Err(error) => warn!(target: TARGET, connection = hold.session; "{plan}, kept and then not used: {error}"),
    }
}

/// Refuses a connection on which a section can't begin, without I/O.
pub(crate) fn check<C: MysqlSession>(conn: &mut C, name: &LockName) -> Result<(), NamedLockError> {
    match driver::depth(conn) {
        Ok(0) => Ok(()),
        Ok(depth) => Err(NamedLockError::OpenTransaction { name: name.clone(), depth }),
        Err(source) => Err(NamedLockError::Broken { name: name.clone(), source }),
    }
}

/// The locks that are held, and all that it takes to let go of them.
struct Hold<'c, 'p, C: MysqlSession> {
    conn: &'c mut C,
    plan: Plan<'p>,
    /// The connection id of the session that holds the locks, once there is one.
    session: u64,
    /// So many of the plan's names are held, from the first on.
    taken: usize,
    /// The name after those may be held, too: asking for it had no clear answer, or none yet.
    in_doubt: bool,
    /// Which of the names an outer section holds: not ours to release.
    borrowed: Vec<usize>,
    /// The session was ended from within, and the connection marked.
    ended: bool,
}

impl<'c, 'p, C: MysqlSession> Hold<'c, 'p, C> {
    fn new(conn: &'c mut C, plan: Plan<'p>) -> Self {
        let (session, taken) = plan.kept.map_or((0, 0), |session| (session, plan.names.len()));
        Self { conn, plan, session, taken, in_doubt: false, borrowed: Vec::new(), ended: false }
    }

    fn take_all(&mut self, start: Instant) -> Result<(), Refusal<'p>> {
        for (index, name) in self.plan.names.iter().enumerate().skip(self.taken) {
            // The first gets the timeout as it stands: a whole number of seconds stays one, which MySQL waits for best.
            let timeout = if index == 0 { self.plan.timeout } else { self.plan.timeout.left(start) };
            if self.plan.reentrant && self.borrow(name)? {
                self.borrowed.push(index);
            } else {
                self.take(name, timeout)?;
            }
            self.taken = index + 1;
            self.in_doubt = false;
        }
        Ok(())
    }

    /// Whether the session holds the lock already. Asked beforehand, so that an acquire that is killed leaves no doubt
    /// whose lock it is.
    fn borrow(&mut self, name: &'p LockName) -> Result<bool, Refusal<'p>> {
        match who_holds::who_holds(self.conn, name) {
            Ok((own, holder)) => {
                self.session = own;
                Ok(holder == Some(own))
            }
            Err(error) => {
                let failure = failure::of_uncached(self.conn, error);
                // No lock is in doubt, but the connection is.
                if who_holds::who_holds(self.conn, name).is_err() {
                    self.end();
                }
                Err(Refusal::Failed(name, failure))
            }
        }
    }

    fn take(&mut self, name: &'p LockName, timeout: Timeout) -> Result<(), Refusal<'p>> {
        self.in_doubt = true;
        let refusal = match acquire::get_lock(self.conn, name, timeout) {
            Ok(Answer::Granted(session)) => {
                self.session = session;
                return Ok(());
            }
            Err(failure) => return Err(Refusal::Failed(name, failure)),
            Ok(Answer::HeldBefore(session)) => Refusal::HeldBefore(name, session),
            Ok(Answer::Busy) => Refusal::Busy(name),
        };
        self.in_doubt = false;
        Err(refusal)
    }

    /// No transaction is open.
    fn has_none_open(&mut self) -> bool {
        matches!(driver::depth(self.conn), Ok(0))
    }

    /// The server says that this session holds every lock. Where not, [`Self::let_go`] tells why.
    fn holds_all(&mut self) -> bool {
        self.plan.names.iter().all(|name| {
            let answer = who_holds::who_holds(self.conn, name);
            answer.is_ok_and(|(own, holder)| own == self.session && holder == Some(own))
        })
    }

    /// Rolls back what the work left open, then releases every lock, last first. May be called again after a panic.
    fn let_go(&mut self) -> Result<(), NamedLockError> {
        if self.in_doubt {
            self.settle();
            self.in_doubt = false;
        }
        let rolled_back = self.roll_back();
        if self.ended {
            self.taken = 0;
            return rolled_back;
        }
        let mut released = Ok(());
        while let Some(last) = self.taken.checked_sub(1) {
            let this = self.release(last);
            self.taken = last;
            released = released.and(this);
        }
        if let (Err(_), Err(error)) = (&released, &rolled_back) {
            warn!(target: TARGET, connection = self.session; "{error}");
        }
        released.and(rolled_back)
    }

    /// After an acquire with no clear answer: the lock may be held all the same.
    ///
    /// Then the session is ended. To release it would be wrong where an outer section has held it before: that one would go
    /// on without its lock, whereas without its session it can do no harm.
    fn settle(&mut self) {
        let name = &self.plan.names[self.taken];
        if !who_holds::who_holds(self.conn, name).is_ok_and(|(own, holder)| holder != Some(own)) {
            self.end();
        }
    }

    fn roll_back(&mut self) -> Result<(), NamedLockError> {
        let depth = driver::depth(self.conn);
        if self.ended || self.taken == 0 || matches!(depth, Ok(0)) {
            return Ok(());
        }
        let name = &self.plan.names[0];
        // A connection that the work put in place of ours may have a transaction: not ours to roll back.
        if who_holds::who_holds(self.conn, name).is_ok_and(|(own, _)| own != self.session) {
            return Ok(());
        }
        match depth.and_then(|depth| driver::roll_back(self.conn).map(|()| depth)) {
            Ok(depth) => Err(NamedLockError::TransactionLeftOpen { name: name.clone(), depth }),
            Err(source) => {
                self.end();
                Err(self.lost(0, Some(source)))
            }
        }
    }

    fn release(&mut self, index: usize) -> Result<(), NamedLockError> {
        if self.ended {
            return Err(self.lost(index, None));
        }
        if self.borrowed.contains(&index) {
            return self.give_back(index);
        }
        let name = &self.plan.names[index];
        let mut release = || release::release_lock(self.conn, name, self.session);
        let (answer, error) = match release() {
            Ok(answer) => (Ok(answer), None),
            // Ended by `KILL QUERY`, say. The lock may be ours still, and then it has been all the time.
            Err(error) => (release(), Some(error)),
        };
        match answer {
            Ok(release::Answer::Released) => Ok(()),
            Ok(release::Answer::NotHeld) => Err(self.lost(index, error)),
            Ok(release::Answer::OtherSession(found)) => Err(self.swapped(index, found)),
            Err(_) => {
                self.end();
                Err(self.lost(index, error))
            }
        }
    }

    /// An outer section goes on holding it; this one only makes sure that it has been so.
    fn give_back(&mut self, index: usize) -> Result<(), NamedLockError> {
        let name = &self.plan.names[index];
        match who_holds::who_holds(self.conn, name) {
            Ok((own, Some(holder))) if own == self.session && holder == own => Ok(()),
            Ok((found, _)) if found != self.session => {
                let expected = self.session;
                Err(NamedLockError::ConnectionSwapped {
                    name: name.clone(),
                    expected,
                    found,
                    ended: false,
                    source: None,
                })
            }
            other => Err(self.lost(index, other.err())),
        }
    }

    /// Where a release can't be confirmed: ends the session, and the lock with it, and makes the pool close the
    /// connection.
    fn end(&mut self) {
        driver::mark(self.conn);
        self.ended = true;
        kill::end_own(self.conn);
        warn!(target: TARGET, "{}: release not confirmed; its session was ended, the pool will close it", self.plan);
    }

    fn lost(&self, index: usize, source: Option<diesel::result::Error>) -> NamedLockError {
        NamedLockError::Lost { name: self.plan.names[index].clone(), connection_id: self.session, source }
    }

    fn swapped(&mut self, index: usize, found: u64) -> NamedLockError {
        let name = &self.plan.names[index];
        let expected = self.session;
        let (ended, source) = match kill::end_other(self.conn, expected, name) {
            Ok(ended) => (ended, None),
            Err(source) => (false, Some(source)),
        };
        NamedLockError::ConnectionSwapped { name: name.clone(), expected, found, ended, source }
    }

    /// The way out of a panic. Nothing may panic here again, not even a hook of the application.
    fn let_go_unwinding(mut self) {
        let let_go = || {
            if let Err(error) = self.let_go() {
                warn!(target: TARGET, connection = self.session; "after a panic: {error}");
            }
        };
        if catch_unwind(AssertUnwindSafe(let_go)).is_err() {
            let abandon = || {
                driver::mark(self.conn);
                driver::silence(self.conn);
                kill::end_own(self.conn);
            };
            let _ = catch_unwind(AssertUnwindSafe(abandon));
        }
    }
}

impl fmt::Display for Plan<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "named lock")?;
        for (index, name) in self.names.iter().enumerate() {
            write!(f, "{}`{name}`", if index == 0 { " " } else { ", " })?;
        }
        Ok(())
    }
}
