//! A link: a thread that does the I/O with one node for one section.
//!
//! A server may go silent, and Diesel's connections wait for it without a limit. So does the thread, but nobody waits for the thread for
//! longer than a limit. When the server speaks again, the thread releases what it holds.

use std::{
    io,
    sync::{
        Arc,
        mpsc::{self, SendError, Sender},
    },
    thread,
    time::Duration,
};

use diesel::r2d2::{ManageConnection, PooledConnection};

use super::{answers::Answers, error::NodeState, members::Members, node::Node, protocol::Order, worker::Worker};
use crate::{
    blocking::guard::NamedLockGuard,
    deadline::Deadline,
    driver::status::NamedLockConnection,
    idle_limit::IdleLimit,
    lock::NamedLock,
    name::LockName,
    statement::{session_timeouts::Timeouts, whereabouts::Whereabouts},
};

pub(super) type Guard<M> = NamedLockGuard<PooledConnection<M>>;

/// What the thread is to do.
pub(super) enum Task<M>
where
    M: ManageConnection,
    PooledConnection<M>: NamedLockConnection,
{
    Carry(Order),
    /// Hand over the guard, for the closure, and say where it leads if that is asked.
    Lend {
        looks: bool,
    },
    /// The only one without an answer.
    TakeBack(Box<Guard<M>>),
    /// Say who holds the lock.
    Describe,
}

/// The thread's answer.
pub(super) enum Said<M>
where
    M: ManageConnection,
    PooledConnection<M>: NamedLockConnection,
{
    Connected(Whereabouts),
    Granted,
    Busy,
    /// The lock was held until it was released.
    Released,
    Lent(Box<Guard<M>>, Option<Whereabouts>),
    Described(NodeState),
    Failed(NodeState),
}

/// How many times within its idle limit a session is asked whether it holds the lock.
pub(super) const QUESTIONS_PER_LIMIT: u32 = 3;

/// What all links of a section share.
pub(super) struct Common<M>
where
    M: ManageConnection,
    PooledConnection<M>: NamedLockConnection,
{
    pub(super) answers: Answers<Said<M>>,
    pub(super) members: Arc<Members>,
    pub(super) lock: NamedLock,
    pub(super) limit: IdleLimit,
    pub(super) deadline: Deadline,
}

impl<M> Common<M>
where
    M: ManageConnection,
    PooledConnection<M>: NamedLockConnection,
{
    pub(super) fn name(&self) -> &LockName {
        &self.lock.names()[0]
    }

    /// How often a session is asked, so that it is not idle for too long: it may have shorter timeouts than the limit.
    pub(super) fn interval(&self, timeouts: Option<Timeouts>) -> Duration {
        let limit = timeouts.map_or(u64::MAX, |timeouts| timeouts.wait).min(self.limit.seconds());
        Duration::from_secs(limit) / QUESTIONS_PER_LIMIT
    }
}

/// When it is dropped, the thread releases what it holds.
pub(super) struct Link<M>
where
    M: ManageConnection,
    PooledConnection<M>: NamedLockConnection,
{
    tasks: Sender<Task<M>>,
    /// That of its answers.
    slot: usize,
}

impl<M> Link<M>
where
    M: ManageConnection,
    PooledConnection<M>: NamedLockConnection + Send + 'static,
{
    pub(super) fn to(node: Arc<Node<M>>, index: usize, common: Arc<Common<M>>) -> io::Result<Self> {
        let (tasks, received) = mpsc::channel();
        let slot = common.answers.open();
        let worker = Worker::new(node, index, slot, common);
        thread::Builder::new().name("named-lock-link".into()).spawn(move || worker.serve(&received))?;
        Ok(Self { tasks, slot })
    }

    pub(super) fn slot(&self) -> usize {
        self.slot
    }

    /// Returns the task if the thread has ended, because a hook of the application has panicked in it.
    pub(super) fn send(&self, task: Task<M>) -> Result<(), SendError<Task<M>>> {
        self.tasks.send(task)
    }
}
