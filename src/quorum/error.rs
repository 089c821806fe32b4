//! The errors of a quorum.

use std::{fmt, time::Duration};

use crate::{
    connection_id::ConnectionId,
    error::{NamedLockError, recover},
    holder::SessionInfo,
    name::LockName,
};

type Diesel = diesel::result::Error;

/// The error of a section over a quorum: what happened to which lock on which nodes, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QuorumError {
    /// A quorum can't have this lock. No I/O took place.
    #[error(transparent)]
    Invalid(#[from] InvalidQuorum),

    /// Two nodes are one server, so the quorum would be none. The closure has not run, and nothing is held.
    #[error("quorum refused: nodes `{first}` and `{second}` are one server; give each node a server of its own")]
    #[non_exhaustive]
    SameServer {
        /// The name of a node.
        first: String,
        /// The name of the other one.
        second: String,
    },

    /// The lock was not free in time. The closure has not run, and nothing is held.
    #[error(
        "named lock `{name}` was not free on enough of its nodes within {waited:.3?}{}: try again later or wait longer",
        unless_in_queue(.nodes)
    )]
    #[non_exhaustive]
    Timeout {
        /// The lock.
        name: LockName,
        /// How long the section waited.
        waited: Duration,
        /// What is known of each node right after the timeout. Empty if the time was up behind other threads of this process.
        nodes: Vec<NodeReport>,
    },

    /// Not enough nodes could be used until the deadline. The closure has not run, and nothing is held.
    #[error(
        "named lock `{name}` needs {needed} nodes{}, and could not use them within {waited:.3?}{}: repair them, or wait longer",
        among(.required),
        of(.nodes)
    )]
    #[non_exhaustive]
    NoMajority {
        /// The lock.
        name: LockName,
        /// How many nodes must be held.
        needed: usize,
        /// The node that must be among them, if there is one.
        required: Option<String>,
        /// How long the section waited.
        waited: Duration,
        /// What is known of each node.
        nodes: Vec<NodeReport>,
    },

    /// The closure has run, but at its end too few nodes confirmed that they had been held to the end. Another section may have run at the same
    /// time. A node that can't be reached may keep the lock for the [idle limit](crate::NamedLock::idle_limit).
    ///
    /// Also returned by [`QuorumGuard::with_conn`](super::QuorumGuard::with_conn) if the lock is lost already.
    #[error(
        "named lock `{name}` was not held to the end on enough of its nodes{}{}: the section ran, but perhaps not alone; check \
         what it wrote before you run it again",
        among(.required),
        of(.nodes)
    )]
    #[non_exhaustive]
    Lost {
        /// The lock.
        name: LockName,
        /// The node that must be among those that confirm, if there is one.
        required: Option<String>,
        /// Which nodes confirmed and which did not.
        nodes: Vec<NodeReport>,
    },

    /// An error that does not depend on the number of nodes: an invalid name or idle limit, a section that waits for itself
    /// ([`AlreadyHeld`](NamedLockError::AlreadyHeld), [`Deadlock`](NamedLockError::Deadlock)), a
    /// [`TransactionLeftOpen`](NamedLockError::TransactionLeftOpen), or the closure's own error of Diesel
    /// ([`Database`](NamedLockError::Database)).
    #[error(transparent)]
    Lock(NamedLockError),
}

impl QuorumError {
    /// Returns whether the lock was not free in time.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Timeout { .. })
    }

    /// Returns whether the closure has run: the first question before a retry.
    #[must_use]
    pub fn work_ran(&self) -> bool {
        match self {
            Self::Lost { .. } => true,
            Self::Lock(error) => error.work_ran(),
            _ => false,
        }
    }

    /// Returns whether the closure has not run and the same call may succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Timeout { .. } | Self::NoMajority { .. } => true,
            Self::Lock(error) => error.is_transient(),
            _ => false,
        }
    }
}

/// What is known of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeReport {
    /// The name of the node.
    pub node: String,
    /// Its state.
    pub state: NodeState,
}

/// The state of a node, for this lock.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NodeState {
    /// Another session holds the lock.
    HeldBy(Box<SessionInfo>),
    /// The same, and it was not asked which.
    Busy,
    /// No other session held the lock when the node was asked.
    Free,
    /// It confirmed that the lock was held to the end.
    Confirmed,
    /// It can't be used, or did not confirm, for this reason.
    Failed(String),
    /// It did not answer in time.
    Silent,
    /// It granted the lock, and is not known to be lost.
    Held,
    /// It was not asked for the lock.
    NotAsked,
}

impl fmt::Display for NodeReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node `{}` ", self.node)?;
        match &self.state {
            NodeState::HeldBy(session) => write!(f, "held by {session}"),
            NodeState::Busy => write!(f, "held by another session"),
            NodeState::Free => write!(f, "free"),
            NodeState::Confirmed => write!(f, "held to the end"),
            NodeState::Failed(reason) => write!(f, "failed ({reason})"),
            NodeState::Silent => write!(f, "gave no answer in time"),
            NodeState::Held => write!(f, "held"),
            NodeState::NotAsked => write!(f, "not asked"),
        }
    }
}

fn among(required: &Option<String>) -> String {
    required.as_ref().map_or_else(String::new, |node| format!(", `{node}` among them"))
}

/// Without nodes, the time was up in the queue of this process.
fn unless_in_queue(nodes: &[NodeReport]) -> String {
    if nodes.is_empty() { " behind other threads of this process".to_owned() } else { of(nodes) }
}

fn of(nodes: &[NodeReport]) -> String {
    nodes.iter().map(|node| format!("; {node}")).collect()
}

/// Why a node failed. What else the error says is not true of the whole.
pub(super) fn reason(error: &NamedLockError) -> String {
    match error {
        NamedLockError::Lost { connection_id, source: Some(source), .. } => {
            format!("connection {connection_id} did not confirm: {source}")
        }
        NamedLockError::Lost { connection_id, source: None, .. } => no_longer_held(*connection_id),
        NamedLockError::Broken { source, .. } | NamedLockError::Refused { r#source, .. } => source.to_string(),
        error => error.to_string(),
    }
}

pub(super) fn no_longer_held(connection_id: ConnectionId) -> String {
    format!("connection {connection_id} did not hold the lock any more")
}

/// The error of a quorum that can't exist, or of a lock that it can't have. No I/O took place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidQuorum {
    /// Too few nodes, or too many.
    #[error("invalid number of nodes {0}: must be from 3 to 64, since of two nodes neither may fail")]
    NodeCount(usize),
    /// Two nodes have the same name.
    #[error("two nodes of the quorum have the name `{0}`: give each node its own")]
    SameName(String),
    /// There is no node of the name that was given to `home` or `required_home`.
    #[error("no node of the quorum has the name `{0}` of the home: use the name of a node")]
    UnknownHome(String),
    /// The time for an answer is zero or too long.
    #[error("invalid time for an answer {0:?}: must be from 1 millisecond to 1 hour")]
    AnswerWithin(Duration),
    /// The lock is one over several names, a permit, shared, or reentrant.
    #[error("lock `{0}` can't be held by a quorum: use a `NamedLock` with one name, without `reentrant()`")]
    UnsupportedLock(LockName),
}

impl From<NamedLockError> for QuorumError {
    fn from(error: NamedLockError) -> Self {
        Self::Lock(error)
    }
}

/// For `?` in the closure. An error of this crate inside Diesel's error becomes itself again.
impl From<Diesel> for QuorumError {
    fn from(error: Diesel) -> Self {
        recover(error, |error| Self::Lock(error.into()))
    }
}

/// For code that returns Diesel's error. Every error that was not Diesel's is put into a
/// [`QueryBuilderError`](diesel::result::Error::QueryBuilderError), from which `?` into a [`QuorumError`] recovers it.
impl From<QuorumError> for Diesel {
    fn from(error: QuorumError) -> Self {
        match error {
            QuorumError::Lock(error) => error.into(),
            error => Self::QueryBuilderError(Box::new(error)),
        }
    }
}
