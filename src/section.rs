//! The one place where acquire → work → release happens, on every way out.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use log::{debug, warn};

use crate::{
    LockName, NamedLockError,
    server::{
        acquire::{self, Answer},
        end,
        failure::{Cause, Failure},
        holders, release,
    },
    session::{self, MysqlSession},
    timeout::Timeout,
};

const TARGET: &str = "diesel_named_lock";

/// What a section over one or several locks is to do. The names are in locking order.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan<'a> {
    pub(crate) names: &'a [LockName],
    pub(crate) timeout: Timeout,
    pub(crate) reentrant: bool,
}

/// A section that ran: what the work returned, and whether it was alone to the end.
///
/// Got from [`NamedLock::section`](crate::NamedLock::section), whose example shows its use.
#[derive(Debug)]
#[non_exhaustive]
#[must_use = "a section whose `lost` is `Some` was perhaps not exclusive"]
pub struct Section<T> {
    /// What the work returned, whatever became of the lock.
    pub value: T,
    /// From the call to the grant of the (last) lock.
    pub waited: Duration,
    /// From the grant to the confirmed release.
    pub held: Duration,
    /// `None` where the lock was held from before the work to after it, and released. Otherwise
    /// [`Lost`](NamedLockError::Lost), [`ConnectionSwapped`](NamedLockError::ConnectionSwapped) or
    /// [`TransactionLeftOpen`](NamedLockError::TransactionLeftOpen).
    pub lost: Option<NamedLockError>,
}

/// The lock that another session held until the timeout.
#[derive(Debug)]
pub(crate) struct Busy {
    pub(crate) name: LockName,
    pub(crate) waited: Duration,
}

/// Runs `work` while all of the plan's locks are held.
///
/// # Errors
///
/// Where the work has not run. What happened after it began stands in [`Section::lost`].
pub(crate) fn run<C: MysqlSession, T>(
    conn: &mut C,
    plan: Plan<'_>,
    work: impl FnOnce(&mut C) -> T,
) -> Result<Result<Section<T>, Busy>, NamedLockError> {
    let depth = depth_at_entry(conn, &plan.names[0])?;
    let start = Instant::now();
    let hold = Hold::new(conn, plan, depth);
    // Armed before the acquire, since a hook of the application may panic there, too, and to the end of the release.
    let mut hold = scopeguard::guard_on_unwind(hold, Hold::let_go_unwinding);

    if let Err(refusal) = hold.take_all(start) {
        // Nothing was written under these locks: all that matters of the release is whether the connection survived it.
        let _ = hold.let_go();
        return refusal.explain(start.elapsed(), hold.ended).map(Err);
    }
    let waited = start.elapsed();
    debug!(target: TARGET, waited:?, connection = hold.session; "acquired {plan}");

    let granted = Instant::now();
    let value = work(hold.conn);
    let lost = hold.let_go().err();
    let held = granted.elapsed();
    match &lost {
        None => debug!(target: TARGET, waited:?, held:?, connection = hold.session; "released {plan}"),
        Some(error) => warn!(target: TARGET, waited:?, held:?, connection = hold.session; "{error}"),
    }
    Ok(Ok(Section { value, waited, held, lost }))
}

/// Refuses a connection on which a section can't begin, without I/O. The depth counts a test transaction.
fn depth_at_entry<C: MysqlSession>(conn: &mut C, name: &LockName) -> Result<u32, NamedLockError> {
    match (session::depth(conn), session::depth_besides_test(conn)) {
        (Ok(depth), Ok(0)) => Ok(depth),
        (Ok(_), Ok(depth)) => Err(NamedLockError::OpenTransaction { name: name.clone(), depth }),
        (Err(source), _) | (_, Err(source)) => Err(NamedLockError::Broken { name: name.clone(), source }),
    }
}

/// The locks that are held, and all that it takes to let go of them.
struct Hold<'c, 'p, C: MysqlSession> {
    conn: &'c mut C,
    plan: Plan<'p>,
    /// The transaction depth at entry.
    depth: u32,
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

/// Why the locks were not got.
enum Refusal<'p> {
    Busy(&'p LockName),
    HeldBefore(&'p LockName, u64),
    Failed(&'p LockName, Failure),
}

impl<'c, 'p, C: MysqlSession> Hold<'c, 'p, C> {
    fn new(conn: &'c mut C, plan: Plan<'p>, depth: u32) -> Self {
        Self { conn, plan, depth, session: 0, taken: 0, in_doubt: false, borrowed: Vec::new(), ended: false }
    }

    fn take_all(&mut self, start: Instant) -> Result<(), Refusal<'p>> {
        for (index, name) in self.plan.names.iter().enumerate() {
            // The first gets the timeout as it stands: a whole number of seconds stays one, which MySQL waits for best.
            let timeout = if index == 0 { self.plan.timeout } else { self.plan.timeout.left(start) };
            self.in_doubt = true;
            match acquire::get_lock(self.conn, name, timeout) {
                Ok(Answer::Granted(session)) => self.session = session,
                Ok(Answer::HeldBefore(session)) if self.plan.reentrant => {
                    self.session = session;
                    self.borrowed.push(index);
                }
                Ok(clear) => {
                    self.in_doubt = false;
                    return Err(match clear {
                        Answer::HeldBefore(session) => Refusal::HeldBefore(name, session),
                        _ => Refusal::Busy(name),
                    });
                }
                Err(failure) => return Err(Refusal::Failed(name, failure)),
            }
            self.taken += 1;
            self.in_doubt = false;
        }
        Ok(())
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
        released.and(rolled_back)
    }

    /// After an acquire with no clear answer: the lock may be held all the same.
    fn settle(&mut self) {
        let name = &self.plan.names[self.taken];
        let own = holders::own_id(self.conn).or_else(|_| holders::own_id(self.conn));
        let settled = own.is_ok_and(|own| {
            if self.plan.reentrant {
                // Held now, it is either just granted or an outer section's: releasing it would be right or wrong.
                holders::holder_id(self.conn, name).is_ok_and(|holder| holder != Some(own))
            } else {
                let mut release = || release::release_lock(self.conn, name, own);
                release().or_else(|_| release()).is_ok()
            }
        });
        if !settled {
            self.end();
        }
    }

    fn roll_back(&mut self) -> Result<(), NamedLockError> {
        let depth = session::depth(self.conn);
        if self.ended || self.taken == 0 || depth.as_ref().is_ok_and(|&depth| depth <= self.depth) {
            return Ok(());
        }
        // A connection that the work put in place of ours may have a transaction: not ours to roll back.
        if holders::own_id(self.conn).is_ok_and(|id| id != self.session) {
            return Ok(());
        }
        match depth.and_then(|depth| session::roll_back_to(self.conn, self.depth).map(|()| depth - self.depth)) {
            Ok(depth) => Err(NamedLockError::TransactionLeftOpen { name: self.plan.names[0].clone(), depth }),
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
        let name = &self.plan.names[index];
        if self.borrowed.contains(&index) {
            return match holders::holder_id(self.conn, name) {
                Ok(holder) if holder == Some(self.session) => Ok(()),
                other => Err(self.lost(index, other.err())),
            };
        }
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

    /// Where a release can't be confirmed: ends the session, and the lock with it, and makes the pool close the
    /// connection.
    fn end(&mut self) {
        session::mark(self.conn);
        self.ended = true;
        end::end_own(self.conn);
        warn!(target: TARGET, "{}: release not confirmed; its session was ended, the pool will close it", self.plan);
    }

    fn lost(&self, index: usize, source: Option<diesel::result::Error>) -> NamedLockError {
        NamedLockError::Lost { name: self.plan.names[index].clone(), connection_id: self.session, source }
    }

    fn swapped(&mut self, index: usize, found: u64) -> NamedLockError {
        let name = &self.plan.names[index];
        let expected = self.session;
        let source = end::end_other(self.conn, expected, name).err();
        NamedLockError::ConnectionSwapped { name: name.clone(), expected, found, source }
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
                session::mark(self.conn);
                session::silence(self.conn);
                end::end_own(self.conn);
            };
            let _ = catch_unwind(AssertUnwindSafe(abandon));
        }
    }
}

impl<'p> Refusal<'p> {
    /// `ended`: the connection did not survive it.
    fn explain(self, waited: Duration, ended: bool) -> Result<Busy, NamedLockError> {
        Err(match self {
            Self::Busy(name) => return Ok(Busy { name: name.clone(), waited }),
            Self::HeldBefore(name, connection_id) => NamedLockError::AlreadyHeld { name: name.clone(), connection_id },
            Self::Failed(name, Failure::Error(_, source)) if ended => {
                NamedLockError::Broken { name: name.clone(), source }
            }
            Self::Failed(name, Failure::Null) => {
                NamedLockError::Interrupted { name: name.clone(), waited, source: None }
            }
            Self::Failed(name, Failure::Error(cause, source)) => {
                let name = name.clone();
                match cause {
                    Cause::OutOfTime => return Ok(Busy { name, waited }),
                    Cause::Deadlock => NamedLockError::Deadlock { name, source },
                    Cause::Refused => NamedLockError::Refused { name, source },
                    Cause::Interrupted | Cause::TimeLimit => {
                        NamedLockError::Interrupted { name, waited, source: Some(source) }
                    }
                }
            }
        })
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
