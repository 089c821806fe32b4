//! The start of a section: queue, checkout, server.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    time::Instant,
};

use diesel::r2d2::{ManageConnection, PooledConnection};
use scopeguard::ScopeGuard;

use super::{
    NamedLockPool, NamedLockPoolBuilder,
    baton::{Baton, Held},
    hand_off::{BegunPooled, Entered, Turn},
};
use crate::{
    blocking::section,
    driver::status::NamedLockConnection,
    error::NamedLockError,
    lock::NamedLock,
    name::LockName,
    owned::Owned,
    queue::{
        hand_offs::{Chain, Waited, timed_out_in_queue},
        line::{NoTurn, Queue},
    },
    section::{Request, outcome::Section},
};

/// A section that waits for its lock, with the time that it has spent so far.
pub(super) struct PooledSection<'a, M: ManageConnection> {
    queue: &'a Queue<LockName, Baton<M>>,
    options: &'a NamedLockPoolBuilder<M>,
    lock: &'a NamedLock,
    request: Request,
    spent: Waited,
}

impl<'a, M> PooledSection<'a, M>
where
    M: ManageConnection,
    PooledConnection<M>: NamedLockConnection,
{
    pub(super) fn new(locks: &'a NamedLockPool<M>, lock: &'a NamedLock) -> Result<Self, NamedLockError> {
        let (queue, options) = (&locks.0.queue, &locks.0.options);
        Ok(Self { queue, options, lock, request: lock.request()?, spent: Waited::default() })
    }

    /// Runs `work` when it is its turn and the lock is held. `trusted` says whether the lock may be handed off before it is proven to be held,
    /// if the pool confirms in groups.
    pub(super) fn run<T>(
        self,
        work: impl FnOnce(&mut PooledConnection<M>) -> T,
        trusted: fn(&T) -> bool,
    ) -> Result<Section<T>, NamedLockError> {
        let (options, names) = (self.options, self.lock.names());
        let mut entered = self.enter()?;
        let value = match catch_unwind(AssertUnwindSafe(|| work(entered.begun.conn()))) {
            Ok(value) => value,
            Err(panic) => {
                entered.end_after_panic();
                resume_unwind(panic)
            }
        };
        let is_trusted = trusted(&value);
        Ok(entered.leave(options, names, value, is_trusted))
    }

    /// Waits until it is its turn and the lock is held.
    pub(super) fn enter(mut self) -> Result<Entered<M>, NamedLockError> {
        let (hand_offs, names) = (&self.options.hand_offs, self.lock.names());
        let entered = self.wait_and_begin().inspect_err(|error| hand_offs.report_not_begun(names, error))?;
        hand_offs.report_waited(names, entered.begun.waited(), self.spent);
        Ok(entered)
    }

    fn wait_and_begin(&mut self) -> Result<Entered<M>, NamedLockError> {
        let (first, others) = self.lock.names().split_first().expect("a lock has a name");
        let hands_off = self.options.hand_offs.are_for(self.lock, &self.request);
        let (turn, baton) = match self.request.is_in_line() {
            true => self.wait_for_turn(first, hands_off).map(|(turn, baton)| (Some(turn), baton))?,
            false => (None, None),
        };
        let turn_of = |name| self.wait_for_turn(name, false).map(|(turn, _)| turn);
        let other_turns = others.iter().map(turn_of).collect::<Result<Vec<_>, _>>()?;
        self.spent.in_queue = self.request.deadline.elapsed();
        let (begun, chain, proofs) = match baton.map(ScopeGuard::into_inner) {
            Some(Held { conn, hold, chain, proofs }) => {
                (section::resume(Owned(conn), hold, self.spent.in_queue), chain, proofs)
            }
            None => (self.begin()?, Chain::new(), None),
        };
        turn.iter().chain(&other_turns).for_each(|turn| turn.set_holder(begun.session().get()));
        // Permits are acquired in turn, and held beside each other.
        let turn = turn.filter(|_| self.request.is_exclusive());
        Ok(Entered { begun, turn, other_turns, chain, proofs, hands_off })
    }

    fn wait_for_turn(&self, name: &LockName, takes_baton: bool) -> Result<(Turn<M>, Option<Baton<M>>), NamedLockError> {
        let deadline = self.request.deadline;
        self.queue.enter(name, deadline.instant(), takes_baton).map_err(|no_turn| match no_turn {
            NoTurn::OwnTurn => NamedLockError::AlreadyHeld { name: name.clone(), connection_id: None },
            NoTurn::Circle if deadline.waits() => NamedLockError::Deadlock { name: name.clone(), source: None },
            // A section that does not wait is in no circle.
            NoTurn::Circle | NoTurn::TimedOut => timed_out_in_queue(name, deadline, self.queue.holder(name)),
        })
    }

    fn check_out(&mut self) -> Result<PooledConnection<M>, NamedLockError> {
        let (pool, deadline) = (&self.options.pool, self.request.deadline);
        let usual = pool.connection_timeout();
        // A section that does not wait for the lock still needs a connection.
        let limit = if deadline.waits() { deadline.at_most(usual) } else { usual };
        let asked = Instant::now();
        let conn = pool.get_timeout(limit);
        self.spent.in_checkout += asked.elapsed();
        conn.map_err(|source| NamedLockError::NoConnection {
            name: self.lock.names()[0].clone(),
            waited: deadline.elapsed(),
            in_queue: self.spent.in_queue,
            source: Box::new(source),
        })
    }

    /// Acquires the locks, on another connection if this one turns out to be stale, for example because the server was restarted.
    fn begin(&mut self) -> Result<BegunPooled<M>, NamedLockError> {
        let deadline = self.request.deadline;
        let mut others = self.options.pool.max_size();
        loop {
            let conn = Owned(self.check_out()?);
            let request = Request { first_wait: deadline.remaining(), ..self.request.clone() };
            match section::begin(conn, self.lock.locks().clone(), request) {
                Ok(begun) => return Ok(begun),
                Err((_, NamedLockError::Broken { .. }))
                    if others > 0 && !(deadline.waits() && deadline.has_passed()) =>
                {
                    others -= 1;
                }
                Err((mut conn, error)) => return Err(self.spent.add_to(section::with_holder(error, &mut *conn))),
            }
        }
    }
}
