//! The way of one section: queue, checkout, server, work, and on to the next thread.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use diesel::r2d2::{ManageConnection, PoolError, PooledConnection};
use scopeguard::ScopeGuard;

use super::{
    HandedOffEvent, HeldEvent, LostEvent, NamedLockPool, NamedLockPoolBuilder, TimedOutEvent, WaitedEvent,
    baton::{Baton, Chain, Held},
    queue::{self, NoTurn, Queue},
};
use crate::{
    blocking::abandon,
    driver::MysqlSession,
    error::NamedLockError,
    holder::Holder,
    lock::NamedLock,
    name::LockName,
    section::{Ended, Keep, Plan, Section, refusal::Busy},
    statement::who_holds,
    timeout::Timeout,
};

type Turn<'a, M> = queue::Turn<'a, LockName, Baton<M>>;

/// A section that asks for its lock, with the time that it has spent so far.
pub(super) struct Passage<'a, M: ManageConnection, T> {
    queue: &'a Queue<LockName, Baton<M>>,
    options: &'a NamedLockPoolBuilder<M>,
    lock: &'a NamedLock,
    /// Whether the work has done well, so that its connection may be passed on without asking.
    succeeded: fn(&T) -> bool,
    start: Instant,
    in_queue: Duration,
    in_checkout: Duration,
}

/// Why the work has not run.
pub(super) enum NotRun {
    /// The lock was not free in time: a [`NamedLockError::Timeout`].
    NotFree(NamedLockError),
    Other(NamedLockError),
}

impl NotRun {
    pub(super) fn into_error(self) -> NamedLockError {
        let (Self::NotFree(error) | Self::Other(error)) = self;
        error
    }
}

impl<'a, M, T> Passage<'a, M, T>
where
    M: ManageConnection,
    PooledConnection<M>: MysqlSession,
{
    pub(super) fn new(locks: &'a NamedLockPool<M>, lock: &'a NamedLock, succeeded: fn(&T) -> bool) -> Self {
        let (in_queue, in_checkout) = (Duration::ZERO, Duration::ZERO);
        let (queue, options) = (&locks.0.queue, &locks.0.options);
        Self { queue, options, lock, succeeded, start: Instant::now(), in_queue, in_checkout }
    }

    /// Runs `work` when it is its turn and the lock is held.
    pub(super) fn run(mut self, work: impl FnOnce(&mut PooledConnection<M>) -> T) -> Result<Section<T>, NotRun> {
        self.go(work).inspect_err(|(NotRun::NotFree(error) | NotRun::Other(error))| {
            if error.is_timeout() {
                let event = TimedOutEvent { names: self.lock.names(), error };
                self.options.event_handler.handle_timed_out(event);
            }
        })
    }

    fn go(&mut self, work: impl FnOnce(&mut PooledConnection<M>) -> T) -> Result<Section<T>, NotRun> {
        let (first, others) = self.lock.names().split_first().expect("a lock has a name");
        let (turn, baton) = self.enter(first, self.hands_off())?;
        let other_turns = others.iter().map(|name| Ok(self.enter(name, false)?.0)).collect::<Result<Vec<_>, _>>()?;
        self.in_queue = self.start.elapsed();

        // From here on, the section itself lets go of what came with the turn.
        let (conn, kept, chain) = match baton.map(ScopeGuard::into_inner) {
            Some(held) => (held.conn, Some(held.session), held.chain),
            None => (self.check_out()?, None, Chain::new()),
        };
        let chain = Cell::new(chain);
        let (conn, ended) = self.run_on(conn, kept, &chain, &turn, work)?;

        let handed_off = match ended.kept {
            Some(session) => hand_off(turn, Held { conn, name: first.clone(), session, chain: chain.get().longer() }),
            None => {
                // Before the turn: the next one may need this very connection.
                drop(conn);
                drop(turn);
                None
            }
        };
        drop(other_turns);
        self.tell_end(&ended.section, handed_off);
        Ok(ended.section)
    }

    fn enter(&self, name: &LockName, takes_baton: bool) -> Result<(Turn<'a, M>, Option<Baton<M>>), NotRun> {
        let deadline = self.lock.plan().timeout.deadline(self.start);
        let waits = self.lock.plan().timeout != Timeout::After(Duration::ZERO);
        self.queue.enter(name, deadline, takes_baton).map_err(|no_turn| match no_turn {
            NoTurn::OwnTurn => NotRun::Other(NamedLockError::AlreadyHeld { name: name.clone(), connection_id: None }),
            NoTurn::Circle if waits => NotRun::Other(NamedLockError::Deadlock { name: name.clone(), source: None }),
            // Who does not wait is in no circle.
            NoTurn::Circle | NoTurn::TimedOut => NotRun::NotFree(self.timeout(name, self.start.elapsed(), None, None)),
        })
    }

    fn check_out(&mut self) -> Result<PooledConnection<M>, NotRun> {
        let usual = self.options.pool.connection_timeout();
        let limit = match self.lock.plan().timeout {
            // Who does not wait for the lock needs a connection all the same.
            Timeout::After(Duration::ZERO) | Timeout::Never => usual,
            Timeout::After(timeout) => usual.min(timeout.saturating_sub(self.start.elapsed())),
        };
        let asked = Instant::now();
        let conn = self.options.pool.get_timeout(limit);
        self.in_checkout += asked.elapsed();
        conn.map_err(|error| NotRun::Other(self.timeout(&self.lock.names()[0], self.in_queue, None, Some(error))))
    }

    /// Runs the section, on another connection if this one turns out to be stale: of a server that was restarted, say.
    fn run_on(
        &mut self,
        mut conn: PooledConnection<M>,
        kept: Option<u64>,
        chain: &Cell<Chain>,
        turn: &Turn<'_, M>,
        work: impl FnOnce(&mut PooledConnection<M>) -> T,
    ) -> Result<(PooledConnection<M>, Ended<T>), NotRun> {
        let mut work = Some(work);
        let mut others = self.options.pool.max_size();
        loop {
            let plan = Plan { timeout: self.lock.plan().timeout.left(self.start), kept, ..self.lock.plan() };
            let mut waited = Duration::ZERO;
            let once = |conn: &mut _| {
                waited = self.start.elapsed();
                let mut on_server = Duration::ZERO;
                if kept.is_none() {
                    on_server = waited.saturating_sub(self.in_queue + self.in_checkout);
                    chain.set(Chain::new());
                }
                self.tell_waited(on_server);
                work.take().expect("a section runs its work once")(conn)
            };
            let keep = |value: &_| match self.hands_off() && self.goes_on(chain.get()) && turn.can_pass() {
                false => Keep::No,
                true if self.options.unconfirmed && (self.succeeded)(value) => Keep::Unconfirmed,
                true => Keep::Confirmed,
            };
            match abandon::run(&mut conn, self.lock.bound(), plan, once, keep) {
                Ok(Ok(mut ended)) => {
                    // All of it: also what went to connections that turned out to be stale.
                    ended.section.waited = waited;
                    return Ok((conn, ended));
                }
                Ok(Err(Busy { name, .. })) => {
                    let holder = who_holds::holder(&mut conn, &name).ok().flatten();
                    let error = self.timeout(&name, self.in_queue, holder, None);
                    return Err(NotRun::NotFree(error));
                }
                Err(NamedLockError::Broken { .. }) if others > 0 && self.has_time() => {
                    others -= 1;
                    drop(conn);
                    conn = self.check_out()?;
                }
                Err(error) => return Err(NotRun::Other(error)),
            }
        }
    }

    /// Whether this section can be handed a lock, and hand it on.
    fn hands_off(&self) -> bool {
        let Plan { names, reentrant, .. } = self.lock.plan();
        names.len() == 1 && !reentrant && self.lock.bound().is_none() && self.options.max_hand_offs > 0
    }

    /// Whether the lock may change hands once more before it is the turn of other processes.
    fn goes_on(&self, chain: Chain) -> bool {
        chain.hand_offs < self.options.max_hand_offs && chain.since.elapsed() < self.options.hand_off_for
    }

    fn has_time(&self) -> bool {
        match self.lock.plan().timeout {
            Timeout::After(timeout) => timeout.is_zero() || self.start.elapsed() < timeout,
            Timeout::Never => true,
        }
    }

    fn timeout(
        &self,
        name: &LockName,
        in_queue: Duration,
        holder: Option<Holder>,
        source: Option<PoolError>,
    ) -> NamedLockError {
        NamedLockError::Timeout {
            name: name.clone(),
            waited: self.start.elapsed(),
            in_queue,
            in_checkout: self.in_checkout,
            holder: holder.map(Box::new),
            source,
        }
    }

    fn tell_waited(&self, on_server: Duration) {
        let Self { in_queue, in_checkout, .. } = *self;
        let event = WaitedEvent { names: self.lock.names(), in_queue, in_checkout, on_server };
        self.options.event_handler.handle_waited(event);
    }

    fn tell_end(&self, section: &Section<T>, handed_off: Option<u32>) {
        let names = self.lock.names();
        let handler = &self.options.event_handler;
        match &section.lost {
            Some(error) => handler.handle_lost(LostEvent { names, error }),
            None => handler.handle_held(HeldEvent { names, held: section.held }),
        }
        if let Some(count) = handed_off {
            handler.handle_handed_off(HandedOffEvent { name: &names[0], count });
        }
    }
}

/// Hands the lock to the next thread; releases it where that one has left meanwhile.
fn hand_off<M>(turn: Turn<'_, M>, held: Held<M>) -> Option<u32>
where
    M: ManageConnection,
    PooledConnection<M>: MysqlSession,
{
    let count = held.chain.hand_offs;
    match turn.pass(held.into_baton()) {
        Ok(()) => Some(count),
        Err((turn, baton)) => {
            drop(baton);
            drop(turn);
            None
        }
    }
}
