//! The thread of a link: its connection, and what it does with it.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use diesel::r2d2::{ManageConnection, PooledConnection};
use log::warn;

use super::{
    error::{NodeState, no_longer_held, reason},
    link::{Common, Guard, Said, Task},
    members::Voice,
    node::Node,
    protocol::Order,
};
use crate::{
    blocking::section::is_held_by,
    connection_id::ConnectionId,
    deadline::Timeout,
    driver::{
        blocking::{Blocking, ready},
        retry::ask_again,
        status::{self, NamedLockConnection},
    },
    error::NamedLockError,
    guard_error::GuardError,
    log_target::TARGET,
    section::{
        ask::{describe_holder, ping},
        idle_limit::{restore_timeouts, shorten_timeouts},
    },
    statement::{held_on::ServerRun, session_timeouts::Timeouts, whereabouts::AskWhereabouts},
};

/// The thread of a link.
pub(super) struct Worker<M>
where
    M: ManageConnection,
    PooledConnection<M>: NamedLockConnection,
{
    node: Arc<Node<M>>,
    voice: Voice,
    common: Arc<Common<M>>,
    seat: Seat<M>,
    /// When the session was last asked something, or looked after.
    asked: Instant,
    /// The server that the connection leads to.
    run: Option<ServerRun>,
    /// The session's timeouts before they were shortened.
    timeouts: Option<Timeouts>,
    /// How often the session is asked.
    interval: Duration,
}

enum Seat<M>
where
    M: ManageConnection,
    PooledConnection<M>: NamedLockConnection,
{
    Empty,
    Connected(PooledConnection<M>),
    Holding(Box<Guard<M>>),
    /// The closure has the guard of this session, which was asked last at that moment. Others are asked about it since.
    Lent(ConnectionId, Instant),
}

impl<M> Worker<M>
where
    M: ManageConnection,
    PooledConnection<M>: NamedLockConnection + Send + 'static,
{
    pub(super) fn new(node: Arc<Node<M>>, index: usize, slot: usize, common: Arc<Common<M>>) -> Self {
        let (voice, interval) = (Voice { node: index, thread: slot }, common.interval(None));
        let (seat, asked) = (Seat::Empty, Instant::now());
        Self { node, voice, common, seat, asked, run: None, timeouts: None, interval }
    }

    pub(super) fn serve(mut self, tasks: &Receiver<Task<M>>) {
        while let Some(task) = self.next(tasks) {
            let said = match task {
                Task::TakeBack(guard) => {
                    self.take_back(guard);
                    continue;
                }
                // Nobody wants it any more.
                _ if self.common.answers.is_abandoned(self.voice.thread) => return,
                Task::Carry(order) => self.carry_out(order),
                Task::Lend { looks } => self.lend(looks),
                Task::Describe => Said::Described(self.describe()),
            };
            match self.common.answers.answer(self.voice.thread, said) {
                Ok(()) => {}
                Err(Said::Lent(guard, _)) => return self.take_back(guard),
                Err(_) => return,
            }
        }
    }

    fn take_back(&mut self, guard: Box<Guard<M>>) {
        if let Seat::Lent(_, asked) = self.seat {
            self.asked = asked;
        }
        self.seat = Seat::Holding(guard);
    }

    /// Waits for the next task. Now and then, looks after the session.
    fn next(&mut self, tasks: &Receiver<Task<M>>) -> Option<Task<M>> {
        loop {
            // Tasks don't put it off.
            let left = self.interval.saturating_sub(self.asked.elapsed());
            if !left.is_zero() {
                match tasks.recv_timeout(left) {
                    Ok(task) => return Some(task),
                    Err(RecvTimeoutError::Disconnected) => return None,
                    Err(RecvTimeoutError::Timeout) => {}
                }
            }
            self.look_after();
            self.asked = Instant::now();
        }
    }

    /// Asks whether the session still holds the lock, which also keeps it from being idle for too long. If it does not, tries to acquire the
    /// lock again while the closure runs.
    fn look_after(&mut self) {
        let (members, sent) = (self.common.members.clone(), Instant::now());
        match self.seat {
            Seat::Empty | Seat::Connected(_) if members.is_open() => return self.join(),
            Seat::Empty | Seat::Connected(_) => return self.keep_alive(),
            Seat::Holding(_) | Seat::Lent(..) => {}
        }
        match self.still_holds() {
            Some(Ok(())) => members.hear(self.voice, sent),
            Some(Err(reason)) => {
                members.lose(self.voice, reason);
                // The closure still has the connection of one that was lent.
                if matches!(self.seat, Seat::Holding(_)) {
                    self.leave();
                }
            }
            None if self.node.is_exhausted() => members.excuse(self.voice),
            None => {}
        }
    }

    fn join(&mut self) {
        if matches!(self.seat, Seat::Empty) && self.node.check_up().is_ok() {
            // Nobody waits for it.
            self.node.add_stray();
            let connecting = scopeguard::guard(self.node.clone(), |node| node.end_stray());
            self.connect();
            drop(connecting);
        }
        if matches!(self.seat, Seat::Connected(_)) && matches!(self.acquire_now(), Said::Granted) {
            self.common.members.acquire(self.voice);
        }
    }

    fn keep_alive(&mut self) {
        if let Seat::Connected(conn) = &mut self.seat {
            if ready(ping::<Blocking, _>(conn)).is_err() {
                self.leave();
            }
        }
    }

    /// `None`: it could not be asked. The error is why it does not.
    fn still_holds(&mut self) -> Option<Result<(), String>> {
        let (session, holds) = match &mut self.seat {
            Seat::Holding(guard) => match guard.still_holds() {
                Ok(holds) => (guard.connection_id(), holds),
                Err(error) => return Some(Err(reason(&error))),
            },
            // Any session may ask who holds a lock.
            Seat::Lent(session, _) => {
                let mut conn = self.node.pool.get_timeout(self.node.answer_within).ok()?;
                (*session, is_held_by(&mut conn, self.common.name(), *session, self.run.as_ref()?)?)
            }
            Seat::Empty | Seat::Connected(_) => return None,
        };
        Some(if holds { Ok(()) } else { Err(no_longer_held(session)) })
    }

    fn carry_out(&mut self, order: Order) -> Said<M> {
        match order {
            Order::Connect => self.connect(),
            Order::Acquire => self.acquire_now(),
            Order::Wait => self.acquire(self.common.deadline.remaining()),
            Order::Release => self.release(),
        }
    }

    fn connect(&mut self) -> Said<M> {
        // The limit of those that wait for this thread includes the questions below.
        let mut conn = match self.node.pool.get_timeout(self.node.answer_within * 9 / 10) {
            Ok(conn) => conn,
            Err(error) => {
                if self.node.is_exhausted() {
                    return failed("no connection of its pool was free; make the pool larger");
                }
                self.node.mark_down(&NodeState::Failed(error.to_string()));
                return failed(error);
            }
        };
        let found = match ready(ask_again::<Blocking, _, _>(&mut conn, &AskWhereabouts)) {
            Ok(found) => found,
            Err(error) => return failed(error),
        };
        if let Some(before) = self.node.moved_from(&found.place) {
            return failed(format!(
                "its pool leads to another server than before, {} instead of {}; start the program again if that is right",
                found.place.0, before.0
            ));
        }
        self.timeouts = Some(found.timeouts);
        if let Err(error) = ready(shorten_timeouts::<Blocking, _>(&mut conn, found.timeouts, self.common.limit)) {
            self.discard(conn);
            return failed(error);
        }
        self.interval = self.common.interval(Some(found.timeouts));
        self.run = Some(found.run.clone());
        self.asked = Instant::now();
        self.seat = Seat::Connected(conn);
        Said::Connected(found)
    }

    fn acquire_now(&mut self) -> Said<M> {
        self.acquire(Timeout::After(Duration::ZERO))
    }

    fn acquire(&mut self, timeout: Timeout) -> Said<M> {
        let Seat::Connected(conn) = std::mem::replace(&mut self.seat, Seat::Empty) else {
            return failed("its connection was lost");
        };
        let mut lock = self.common.lock.clone();
        lock.timeout = timeout;
        let acquired = lock.acquire_unexplained(conn);
        // It may have waited for long, and has not been silent since.
        self.asked = Instant::now();
        match acquired {
            Ok(guard) => {
                self.seat = Seat::Holding(Box::new(guard));
                Said::Granted
            }
            Err(refused) if refused.error.is_timeout() => {
                self.seat = Seat::Connected(refused.conn);
                Said::Busy
            }
            Err(refused) => {
                self.discard(refused.conn);
                failed(reason(&refused.error))
            }
        }
    }

    fn release(&mut self) -> Said<M> {
        let Seat::Holding(guard) = std::mem::replace(&mut self.seat, Seat::Empty) else {
            return failed("its session was lost");
        };
        let conn = match guard.release_quietly() {
            Ok(conn) => conn,
            // It was rolled back, and the lock was held.
            Err(GuardError { conn, error: NamedLockError::TransactionLeftOpen { .. } }) => conn,
            Err(failure) => {
                self.discard(failure.conn);
                return failed(reason(&failure.error));
            }
        };
        self.seat = Seat::Connected(conn);
        Said::Released
    }

    fn lend(&mut self, looks: bool) -> Said<M> {
        let Seat::Holding(mut guard) = std::mem::replace(&mut self.seat, Seat::Empty) else {
            return failed("its session was lost");
        };
        match looks.then(|| ready(ask_again::<Blocking, _, _>(&mut **guard, &AskWhereabouts))).transpose() {
            Ok(found) => {
                // Whatever becomes of it there, no other user of the pool gets it with these timeouts.
                if let Some(before) = self.timeouts.take() {
                    guard.restore_later(before);
                }
                self.seat = Seat::Lent(guard.connection_id(), self.asked);
                Said::Lent(guard, found)
            }
            Err(error) => {
                self.seat = Seat::Holding(guard);
                self.leave();
                failed(error)
            }
        }
    }

    fn describe(&mut self) -> NodeState {
        let Seat::Connected(conn) = &mut self.seat else { return NodeState::NotAsked };
        match ready(describe_holder::<Blocking, _>(conn, self.common.name())) {
            Ok(Some(session)) => NodeState::HeldBy(Box::new(session)),
            Ok(None) => NodeState::Free,
            Err(error) => NodeState::Failed(error.to_string()),
        }
    }
}

impl<M> Worker<M>
where
    M: ManageConnection,
    PooledConnection<M>: NamedLockConnection,
{
    fn leave(&mut self) {
        match std::mem::replace(&mut self.seat, Seat::Empty) {
            Seat::Connected(conn) => self.put_back(conn),
            Seat::Holding(guard) => match guard.release_quietly() {
                Ok(conn) => self.put_back(conn),
                Err(failure) => {
                    let (name, reason) = (&self.node.name, reason(&failure.error));
                    warn!(target: TARGET, node = name.as_str(); "{} on node `{name}`: {reason}", self.common.lock.locks());
                    self.discard(failure.conn);
                }
            },
            Seat::Empty | Seat::Lent(..) => {}
        }
    }

    /// Nothing may panic here again, not even a hook. The pool closes the connection, whose timeouts are short.
    fn drop_broken(&mut self) {
        match std::mem::replace(&mut self.seat, Seat::Empty) {
            Seat::Connected(mut conn) => status::mark_broken(&mut conn),
            Seat::Holding(mut guard) => status::mark_broken(&mut **guard),
            Seat::Empty | Seat::Lent(..) => {}
        }
    }

    /// Its pool closes it, with the timeouts that it has.
    fn discard(&mut self, mut conn: PooledConnection<M>) {
        self.timeouts = None;
        status::mark_broken(&mut conn);
    }

    /// To its pool, as it was.
    fn put_back(&mut self, mut conn: PooledConnection<M>) {
        if let Some(before) = self.timeouts.take() {
            ready(restore_timeouts::<Blocking, _>(&mut conn, before));
        }
    }
}

impl<M> Drop for Worker<M>
where
    M: ManageConnection,
    PooledConnection<M>: NamedLockConnection,
{
    /// Also after a panic of a hook of the application.
    fn drop(&mut self) {
        let (node, common, thread) = (self.node.clone(), self.common.clone(), self.voice.thread);
        // Also if a hook panics here.
        let _last = scopeguard::guard((), |()| {
            if common.answers.leave(thread) {
                node.end_stray();
            }
        });
        if thread::panicking() {
            let _ = self.common.answers.answer(self.voice.thread, failed("its thread has panicked"));
            self.drop_broken();
        } else {
            self.leave();
        }
    }
}

fn failed<M>(reason: impl ToString) -> Said<M>
where
    M: ManageConnection,
    PooledConnection<M>: NamedLockConnection,
{
    Said::Failed(NodeState::Failed(reason.to_string()))
}
