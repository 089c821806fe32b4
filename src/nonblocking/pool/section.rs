//! The start of a section: queue, checkout, server.

use std::{
    any::Any,
    io,
    panic::resume_unwind,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::timeout;

use super::{
    ConnectionPool, NamedLockPool, Shared,
    hand_off::{Baton, Entered, Turn},
    rescue::Rescue,
};
use crate::{
    error::NamedLockError,
    lock::NamedLock,
    name::LockName,
    nonblocking::{
        AsyncWork,
        section::{self, Begun},
        transaction::transaction,
        work::caught,
    },
    owned::Owned,
    queue::{
        hand_offs::{Chain, HandOffs, Waited, timed_out_in_queue},
        tasks,
    },
    section::{Request, outcome::Section},
};

/// A section that waits for its lock, with the time that it has spent so far.
pub(super) struct PooledSection<P: ConnectionPool> {
    shared: Arc<Shared<P>>,
    lock: NamedLock,
    request: Request,
    spent: Waited,
}

impl<P: ConnectionPool> PooledSection<P> {
    pub(super) fn new(locks: &NamedLockPool<P>, lock: NamedLock) -> Result<Self, NamedLockError> {
        let request = lock.request()?;
        Ok(Self { shared: locks.0.clone(), lock, request, spent: Waited::default() })
    }

    /// Runs `work` when it is its turn and the lock is held.
    pub(super) async fn run<T, F>(self, work: F) -> Result<Section<T>, NamedLockError>
    where
        T: Send,
        for<'r> F: AsyncFnOnce(&'r mut P::Connection) -> T + AsyncWork<&'r mut P::Connection, T, Future: Send> + Send,
    {
        let (shared, lock) = (self.shared.clone(), self.lock.clone());
        let mut entered = self.enter().await?;
        let outcome = caught(async { work(entered.begun.conn()).await }).await;
        Ok(leave(&shared.hand_offs, lock.names(), entered, outcome).await)
    }

    /// The same inside a transaction.
    pub(super) async fn run_transaction<T, E, F>(self, work: F) -> Result<T, E>
    where
        T: Send,
        E: From<NamedLockError> + From<diesel::result::Error> + Send,
        for<'r> F: AsyncFnOnce(&'r mut P::Connection) -> Result<T, E>
            + AsyncWork<&'r mut P::Connection, Result<T, E>, Future: Send>
            + Send,
    {
        let (shared, lock) = (self.shared.clone(), self.lock.clone());
        let mut entered = self.enter().await?;
        let outcome = caught(transaction(entered.begun.conn(), work)).await;
        leave(&shared.hand_offs, lock.names(), entered, outcome).await.into_result()
    }

    /// Waits until it is its turn and the lock is held.
    pub(super) async fn enter(mut self) -> Result<Entered<P>, NamedLockError> {
        let entered = self.wait_and_begin().await;
        let (hand_offs, names) = (&self.shared.hand_offs, self.lock.names());
        let entered = entered.inspect_err(|error| hand_offs.report_not_begun(names, error))?;
        hand_offs.report_waited(names, entered.begun.waited(), self.spent);
        Ok(entered)
    }

    async fn wait_and_begin(&mut self) -> Result<Entered<P>, NamedLockError> {
        let hands_off = self.shared.hand_offs.are_for(&self.lock, &self.request);
        let (turn, baton) = match self.request.is_in_line() {
            true => self.wait_for_turn(0, hands_off).await.map(|(turn, baton)| (Some(turn), baton))?,
            false => (None, None),
        };
        let mut other_turns = Vec::new();
        for index in 1..self.lock.names().len() {
            other_turns.push(self.wait_for_turn(index, false).await?.0);
        }
        self.spent.in_queue = self.request.deadline.elapsed();
        let (begun, chain) = match baton {
            Some(Baton { armed, chain }) => (Begun::resume(armed, self.spent.in_queue), chain),
            None => (self.begin().await?, Chain::new()),
        };
        turn.iter().chain(&other_turns).for_each(|turn| turn.set_holder(begun.session().get()));
        // Permits are acquired in turn, and held beside each other.
        let turn = turn.filter(|_| self.request.is_exclusive());
        let rescue = Rescue::new(&self.shared, begun.session(), begun.locks());
        Ok(Entered { begun, rescue, turn, other_turns, chain, hands_off })
    }

    async fn wait_for_turn(
        &self,
        index: usize,
        takes_baton: bool,
    ) -> Result<(Turn<P>, Option<Baton<P>>), NamedLockError> {
        let (name, deadline) = (&self.lock.names()[index], self.request.deadline);
        let turn = tasks::enter(&self.shared.queue, name, deadline, takes_baton).await;
        turn.ok_or_else(|| timed_out_in_queue(name, deadline, self.shared.queue.holder(name)))
    }

    /// A section that does not wait for the lock still needs a connection, and waits for it as long as its pool does.
    async fn check_out(&mut self) -> Result<P::Connection, NamedLockError> {
        let deadline = self.request.deadline;
        let limit = if deadline.waits() { deadline.at_most(Duration::MAX) } else { Duration::MAX };
        let asked = Instant::now();
        let conn = timeout(limit, self.shared.pool.get()).await;
        self.spent.in_checkout += asked.elapsed();
        conn.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into())).map_err(|source| {
            NamedLockError::NoConnection {
                name: self.lock.names()[0].clone(),
                waited: deadline.elapsed(),
                in_queue: self.spent.in_queue,
                source,
            }
        })
    }

    /// Acquires the locks, on another connection if this one turns out to be stale, for example because the server was
    /// restarted.
    async fn begin(&mut self) -> Result<Begun<Owned<P::Connection>>, NamedLockError> {
        let deadline = self.request.deadline;
        let mut others = self.shared.pool.size();
        loop {
            let conn = Owned(self.check_out().await?);
            let request = Request { first_wait: deadline.remaining(), ..self.request.clone() };
            let not_begun = match section::begin(conn, self.lock.locks().clone(), request).await {
                Ok(begun) => return Ok(begun),
                Err(not_begun) => not_begun,
            };
            if not_begun.is_broken() && others > 0 && !(deadline.waits() && deadline.has_passed()) {
                others -= 1;
                drop(not_begun.into_parts());
            } else {
                return Err(self.spent.add_to(not_begun.with_holder().await.into_parts().1));
            }
        }
    }
}

/// Ends a section whose closure has returned or panicked.
async fn leave<P: ConnectionPool, T>(
    hand_offs: &HandOffs,
    names: &[LockName],
    entered: Entered<P>,
    outcome: Result<T, Box<dyn Any + Send>>,
) -> Section<T> {
    match outcome {
        Ok(value) => entered.leave(hand_offs, names, value).await,
        Err(panic) => {
            entered.end_after_panic().await;
            resume_unwind(panic)
        }
    }
}
