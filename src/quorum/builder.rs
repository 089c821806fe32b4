//! The nodes of a quorum, and its options.

use std::{sync::Arc, time::Duration};

use diesel::r2d2::{ManageConnection, Pool, PooledConnection};

use super::{Nodes, Quorum, error::InvalidQuorum, node::Node, node_set::NodeSet, protocol::Rules};
use crate::{driver::status::NamedLockConnection, queue::line::Queue};

/// The nodes of a [`Quorum`], and its options.
#[must_use = "nodes do nothing without `build`"]
pub struct QuorumBuilder<M: ManageConnection> {
    nodes: Vec<(String, Pool<M>)>,
    home: Option<String>,
    is_required: bool,
    answer_within: Duration,
}

impl<M> QuorumBuilder<M>
where
    M: ManageConnection,
    PooledConnection<M>: NamedLockConnection,
{
    pub(super) fn new() -> Self {
        Self { nodes: Vec::new(), home: None, is_required: false, answer_within: Quorum::<M>::DEFAULT_ANSWER_WITHIN }
    }

    /// Adds a node: a server with this name, and a pool that leads to it.
    ///
    /// All programs must give the same names to the same servers. The names decide the order in which nodes are asked.
    ///
    /// A section needs a connection of each pool while it waits for the lock and while it holds it, and now and then another one of its
    /// home, and of a node that it waits for. So each pool must be larger than the number of sections, over different locks, that wait or run at
    /// once.
    ///
    /// During an outage, r2d2 itself pauses between its tries to connect, for up to half of the pool's `connection_timeout`, by default 15 seconds.
    /// Shorten that if a node is to be used again sooner.
    pub fn node(mut self, name: impl Into<String>, pool: Pool<M>) -> Self {
        self.nodes.push((name.into(), pool));
        self
    }

    /// Sets the node on whose connection closures run, if it is held.
    ///
    /// Defaults to the first node that is held and not read-only, in the order of the names.
    pub fn home(mut self, name: impl Into<String>) -> Self {
        (self.home, self.is_required) = (Some(name.into()), false);
        self
    }

    /// Sets the node on whose connection closures run. A lock must be held on it, besides a majority.
    ///
    /// If it is the same in all programs, and all that a lock protects is on this server, then `Ok` means what it means for one server,
    /// also beside sections that end as [`Lost`](super::QuorumError::Lost). But without this server, there is no lock.
    pub fn required_home(mut self, name: impl Into<String>) -> Self {
        (self.home, self.is_required) = (Some(name.into()), true);
        self
    }

    /// Sets how long a node may take for each answer: to a connection, an acquire that does not wait, and a release. A node that takes longer
    /// counts as silent. The section continues without it. Later sections leave it out until it answers again.
    ///
    /// Defaults to [`Quorum::DEFAULT_ANSWER_WITHIN`].
    pub fn answer_within(mut self, time: Duration) -> Self {
        self.answer_within = time;
        self
    }

    /// Creates the quorum. No I/O takes place.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidQuorum`] if there are fewer than three nodes or more than 64, if two have the same name, if the home is none of
    /// them, or if the time for an answer is not from 1 millisecond to 1 hour.
    pub fn build(mut self) -> Result<Quorum<M>, InvalidQuorum> {
        const TIMES: std::ops::RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(3600);
        if !TIMES.contains(&self.answer_within) {
            return Err(InvalidQuorum::AnswerWithin(self.answer_within));
        }
        if !(3..=NodeSet::MAX).contains(&self.nodes.len()) {
            return Err(InvalidQuorum::NodeCount(self.nodes.len()));
        }
        self.nodes.sort_by(|(one, _), (other, _)| one.cmp(other));
        if let Some(same) = self.nodes.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(InvalidQuorum::SameName(same[0].0.clone()));
        }
        let home = match self.home {
            Some(home) => match self.nodes.iter().position(|(name, _)| *name == home) {
                None => return Err(InvalidQuorum::UnknownHome(home)),
                found => found,
            },
            None => None,
        };
        let rules = Rules::new(self.nodes.len(), home.filter(|_| self.is_required));
        let (within, nodes) = (self.answer_within, self.nodes.into_iter());
        let all = nodes.map(|(name, pool)| Arc::new(Node::new(name, pool, within))).collect();
        Ok(Quorum(Arc::new(Nodes { all, rules, home, answer_within: within, queue: Queue::new() })))
    }
}
