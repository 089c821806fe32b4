//! Which nodes count as held while the closure runs. No I/O, no clock and no thread, and so model-checked by `tests/quorum-model`.

use super::{node_set::NodeSet, protocol::Rules};

/// The members of a lock: a majority, or it is lost for good.
///
/// A node that was lost, or not held at first, may be acquired by another session while the closure runs. Alone, that proves nothing: others may
/// have held a majority before. So it counts only when a majority of the members has answered that they still hold the lock, to questions that
/// were sent after the grant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Membership<T> {
    rules: Rules,
    members: NodeSet,
    candidates: Vec<Candidate<T>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Candidate<T> {
    node: usize,
    granted: T,
    /// The members that have answered since.
    confirmed: NodeSet,
}

impl<T: PartialOrd> Membership<T> {
    pub fn new(rules: Rules, members: NodeSet) -> Self {
        Self { rules, members, candidates: Vec::new() }
    }

    pub fn members(&self) -> NodeSet {
        self.members
    }

    /// Whether the node is a member, or may become one.
    pub fn has(&self, node: usize) -> bool {
        self.members.contains(node) || self.candidates.iter().any(|candidate| candidate.node == node)
    }

    /// The session of this node holds the lock no more, or is silent.
    pub fn lose(&mut self, node: usize) {
        self.members.remove(node);
        self.candidates.retain(|candidate| candidate.node != node);
    }

    /// Another session of this node has the lock since some time before `now`.
    pub fn acquire(&mut self, node: usize, now: T) {
        self.lose(node);
        self.candidates.push(Candidate { node, granted: now, confirmed: NodeSet::default() });
    }

    /// The session of this node has answered that it holds the lock, to a question that was sent at `sent`.
    pub fn hear(&mut self, node: usize, sent: &T) {
        if !self.members.contains(node) {
            return;
        }
        let (rules, members) = (self.rules, &mut self.members);
        self.candidates.retain_mut(|candidate| {
            if *sent > candidate.granted {
                candidate.confirmed.insert(node);
            }
            let is_proven = rules.is_enough(candidate.confirmed & *members);
            if is_proven {
                members.insert(candidate.node);
            }
            !is_proven
        });
    }
}
