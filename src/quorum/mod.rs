//! One lock over a majority of servers: it survives the loss of a server, and works on Galera and Group Replication.

mod answers;
mod attempt;
mod builder;
mod error;
mod guard;
mod link;
mod links;
mod members;
mod membership;
mod node;
mod node_set;
mod part;
mod protocol;
mod same_server;
mod worker;

use std::{convert::Infallible, fmt, sync::Arc, thread, time::Duration};

use diesel::r2d2::{ManageConnection, PooledConnection};

use self::{
    attempt::{Attempt, NotAcquired},
    node::Node,
    protocol::Rules,
};
pub use self::{
    builder::QuorumBuilder,
    error::{InvalidQuorum, NodeReport, NodeState, QuorumError},
    guard::{QuorumGuard, QuorumWatch},
};
use crate::{
    backoff::Backoff,
    deadline::Deadline,
    driver::status::NamedLockConnection,
    error::NamedLockError,
    idle_limit::IdleLimit,
    lock::NamedLock,
    name::LockName,
    queue::line::{self, NoTurn, Queue},
};

type Turn = line::Turn<LockName, Infallible>;

/// Three or more servers, the nodes. A majority of them holds each lock.
///
/// Of three nodes, a section that holds the lock on two excludes all others. So the lock survives the loss of a node, and a failover, and it
/// spans the nodes of a cluster, which don't know each other's named locks. At its end, a section releases the lock on each node, and `Ok` means
/// that a majority confirmed it was held until then. No clock is involved: a session holds the lock, not a lease.
///
/// [The guide](crate::docs::quorum) has a picture, says when one server with fencing is the better choice, and how to replace a node.
///
/// Make one `Quorum` for a process and clone it. A clone shares the queue, in which the threads of this process wait for a lock without
/// connections. At most one of them asks the nodes.
///
/// ```no_run
/// use diesel::{MysqlConnection, prelude::*, r2d2::{ConnectionManager, Pool}, sql_query};
/// use diesel_named_lock::{NamedLock, quorum::{Quorum, QuorumError}};
///
/// static BILLING: NamedLock = NamedLock::from_static("billing");
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     // Not `Pool::new`, which waits until the server answers. No idle connections, which r2d2 would try to make again and again.
///     let pool = |url: &str| {
///         Pool::builder().min_idle(Some(0)).build_unchecked(ConnectionManager::<MysqlConnection>::new(url))
///     };
///     let quorum = Quorum::builder()
///         .node("db-1", pool("mysql://app@10.0.0.1/shop"))
///         .node("db-2", pool("mysql://app@10.0.0.2/shop"))
///         .node("db-3", pool("mysql://app@10.0.0.3/shop"))
///         .build()?;
///
///     quorum.run(&BILLING, |conn| {
///         sql_query("INSERT INTO bill SELECT * FROM unbilled").execute(conn)?;
///         Ok::<_, QuorumError>(())
///     })?;
///     Ok(())
/// }
/// ```
///
/// # The connection
///
/// The closure gets the connection of one node that holds the lock, the *home*. By default, that is the first in the order of the names that
/// is not read-only: in a cluster with one primary, the primary. [`home`](QuorumBuilder::home) chooses another one. What the closure writes
/// is replicated, or not, by the servers.
///
/// A node that was asked more than a second ago whether it is read-only is asked again before the closure runs. So a section that waited while
/// another server was promoted runs on that one. If the home is demoted while the closure runs, its writes fail.
///
/// # Time limits
///
/// The lock's [timeout](NamedLock::timeout) covers the queue and all nodes. In addition:
///
/// | what | limit | default |
/// |---|---|---|
/// | each answer of a node: connection, acquire without waiting, release | [`answer_within`](QuorumBuilder::answer_within) | 1 second |
/// | a session that is silent, at the server | [`idle_limit`](NamedLock::idle_limit) of the lock | 30 seconds |
///
/// A node that does not answer costs one section that time. Later sections leave it out, until a thread in the background finds that it answers
/// again. At the end of a section, 20 ms are enough for nodes whose confirmation is not needed.
///
/// So whatever the servers do, a section over three nodes has begun, or returned its error, after the timeout and eight times the time for an
/// answer. Its end takes at most three times the time for an answer. The closure's own statements have no limit.
///
/// # What `Ok` means
///
/// No other section of a quorum over the same nodes that ended as `Ok` ran between the moment when this one held a majority and the end of its
/// closure.
///
/// # What it does not promise
///
/// * **A section that ends as [`Lost`](QuorumError::Lost) may overlap one that ends as `Ok`**, until it learns of the loss. Write through the
///   connection that the closure gets, or use a [fencing token](crate::docs::fencing) from a table that is one for all nodes. If all closures run on the same
///   [`required_home`](QuorumBuilder::required_home), its lock excludes them as that of one server does.
/// * **The nodes must be the same for all programs**: the same names for the same servers, each reached directly. A virtual address, a DNS name or
///   a proxy that leads to another server after a failover is **not safe**. This crate leaves out a node that leads elsewhere than before, but
///   only within one process. To replace a node, see [the guide](crate::docs::quorum).
/// * Sections by other means, such as [`NamedLock::run`] on one of the servers, are excluded on that server only.
/// * The server may keep the lock of a host that vanished for the idle limit. If it is held on the first node, the others wait for as long.
/// * A closure that does not touch its connection for as long as the idle limit loses its home. Compute in
///   [`keep_alive_while`](crate::NamedLockExt::keep_alive_while).
/// * It is blocking: each section has a thread for each node. In an async service, run it in `spawn_blocking`.
/// * It is for some locks at a time, not for hundreds, and for nodes in three places rather than two: if the place with two is lost, so is the
///   majority.
pub struct Quorum<M: ManageConnection>(Arc<Nodes<M>>);

struct Nodes<M: ManageConnection> {
    /// In the order of their names.
    all: Vec<Arc<Node<M>>>,
    rules: Rules,
    home: Option<usize>,
    answer_within: Duration,
    /// The threads of this process that want the same lock. At most one of them asks the nodes.
    queue: Queue<LockName, Infallible>,
}

impl<M> Quorum<M>
where
    M: ManageConnection,
    PooledConnection<M>: NamedLockConnection,
{
    /// The default time for an [answer](QuorumBuilder::answer_within): 1 second.
    pub const DEFAULT_ANSWER_WITHIN: Duration = Duration::from_secs(1);

    /// The [idle limit](NamedLock::idle_limit) of a lock that has none: 30 seconds.
    pub const DEFAULT_IDLE_LIMIT: Duration = Duration::from_secs(30);

    /// Returns a builder, to add nodes and to set options.
    pub fn builder() -> QuorumBuilder<M> {
        QuorumBuilder::new()
    }
}

impl<M> Quorum<M>
where
    M: ManageConnection,
    PooledConnection<M>: NamedLockConnection + Send + 'static,
{
    /// Waits for the lock, runs `work` on the connection of a node that holds it, releases the lock on all nodes, and returns what `work`
    /// returned.
    ///
    /// # Errors
    ///
    /// Returns the error of `work`. It takes precedence over an error of the lock, which is then logged at `warn`. Otherwise returns
    /// any [`QuorumError`], converted by `E::from`.
    pub fn run<T, E, F>(&self, lock: &NamedLock, work: F) -> Result<T, E>
    where
        E: From<QuorumError>,
        F: FnOnce(&mut PooledConnection<M>) -> Result<T, E>,
    {
        let guard = self.enter(lock).map_err(|error| error.explained(lock))?;
        guard.run(work)
    }

    /// Runs `work` if the lock is free. Does not wait for the lock: returns `Ok(None)` if another thread or session holds it.
    ///
    /// It waits for connections and answers as [`run`](Self::run) does.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`run`](Self::run), except [`QuorumError::Timeout`].
    pub fn try_run<T, E, F>(&self, lock: &NamedLock, work: F) -> Result<Option<T>, E>
    where
        E: From<QuorumError>,
        F: FnOnce(&mut PooledConnection<M>) -> Result<T, E>,
    {
        let lock = lock.clone().no_wait();
        match self.enter(&lock) {
            Ok(guard) => guard.run(work).map(Some),
            Err(NotEntered::TimedOut { .. }) => Ok(None),
            Err(error) => Err(error.explained(&lock).into()),
        }
    }

    /// Acquires the lock and returns a guard.
    ///
    /// Use it if the lock outlives a function, or to learn at once that it was lost. Otherwise prefer [`run`](Self::run). A thread that owns
    /// a guard and asks for the same lock waits until its timeout, and does not get [`AlreadyHeld`](NamedLockError::AlreadyHeld).
    ///
    /// # Errors
    ///
    /// Returns any [`QuorumError`] for which [`work_ran`](QuorumError::work_ran) is `false`. Nothing is held.
    pub fn acquire(&self, lock: &NamedLock) -> Result<QuorumGuard<M>, QuorumError> {
        let guard = self.enter(lock).map_err(|error| error.explained(lock))?;
        guard.detach();
        Ok(guard)
    }

    fn enter(&self, lock: &NamedLock) -> Result<QuorumGuard<M>, NotEntered<M>> {
        let nodes = &self.0;
        let [name] = lock.names() else { return Err(InvalidQuorum::UnsupportedLock(lock.names()[0].clone()).into()) };
        if lock.slots().is_some() || lock.reentrant {
            return Err(InvalidQuorum::UnsupportedLock(name.clone()).into());
        }
        let deadline = lock.request().map_err(QuorumError::from)?.deadline;
        let limit = lock.idle_limit.unwrap_or(Self::DEFAULT_IDLE_LIMIT);
        let limit = IdleLimit::new(limit).map_err(NamedLockError::from)?;
        // The limit is for all statements of its connections, and not for one section only.
        let mut lock = lock.clone();
        lock.idle_limit = None;
        let turn = self.wait_for_turn(name, deadline)?;
        // As long as nothing can be had, it costs each server as much to be asked for nothing.
        let mut backoff = Backoff::new(nodes.answer_within);
        loop {
            let mut attempt = Attempt::new(nodes.clone(), lock.clone(), limit, deadline);
            match attempt.acquire() {
                Ok(()) => return Ok(QuorumGuard::new(attempt, turn)),
                Err(NotAcquired::TimedOut) => {
                    return Err(NotEntered::TimedOut { attempt: Some(Box::new(attempt)), deadline });
                }
                Err(NotAcquired::SameServer([first, second])) => {
                    return Err(QuorumError::SameServer { first, second }.into());
                }
                Err(NotAcquired::TooFew) if deadline.has_passed() => return Err(attempt.no_majority().into()),
                Err(NotAcquired::TooFew) => {}
            }
            drop(attempt);
            thread::sleep(deadline.at_most(backoff.next()));
        }
    }

    fn wait_for_turn(&self, name: &LockName, deadline: Deadline) -> Result<Turn, NotEntered<M>> {
        let turn = self.0.queue.enter(name, deadline.instant(), false);
        turn.map(|(turn, _)| turn).map_err(|no_turn| match no_turn {
            NoTurn::OwnTurn => NamedLockError::AlreadyHeld { name: name.clone(), connection_id: None }.into(),
            NoTurn::Circle if deadline.waits() => NamedLockError::Deadlock { name: name.clone(), source: None }.into(),
            // A section that does not wait is in no circle.
            NoTurn::Circle | NoTurn::TimedOut => NotEntered::TimedOut { attempt: None, deadline },
        })
    }
}

/// Why there is no section.
enum NotEntered<M>
where
    M: ManageConnection,
    PooledConnection<M>: NamedLockConnection,
{
    /// The attempt has connections that can be asked who holds the lock. `None`: it was this process.
    TimedOut {
        attempt: Option<Box<Attempt<M>>>,
        deadline: Deadline,
    },
    Error(QuorumError),
}

impl<M, E> From<E> for NotEntered<M>
where
    M: ManageConnection,
    PooledConnection<M>: NamedLockConnection,
    QuorumError: From<E>,
{
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

impl<M> NotEntered<M>
where
    M: ManageConnection,
    PooledConnection<M>: NamedLockConnection + Send + 'static,
{
    fn explained(self, lock: &NamedLock) -> QuorumError {
        match self {
            Self::TimedOut { attempt, deadline } => {
                let waited = deadline.elapsed();
                let nodes = attempt.map_or_else(Vec::new, |mut attempt| attempt.describe());
                QuorumError::Timeout { name: lock.names()[0].clone(), waited, nodes }
            }
            Self::Error(error) => error,
        }
    }
}

impl<M: ManageConnection> Clone for Quorum<M> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<M: ManageConnection> fmt::Debug for Quorum<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.0.all.iter().map(|node| node.name.as_str()).collect();
        f.debug_struct("Quorum").field("nodes", &names).finish_non_exhaustive()
    }
}
