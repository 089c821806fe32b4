//! One attempt at the lock: what the [protocol](super::protocol) orders is sent to the nodes, and what they answer in time is heard.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use diesel::r2d2::{ManageConnection, PooledConnection};

use super::{
    Nodes,
    answers::Answers,
    error::{NodeReport, NodeState, QuorumError},
    link::{Common, Guard, QUESTIONS_PER_LIMIT, Said, Task},
    links::Links,
    members::Members,
    node_set::NodeSet,
    part::Part,
    protocol::{Answer, Order, Protocol, Step},
    same_server::find_same_server,
};
use crate::{
    deadline::Deadline,
    driver::status::{self, NamedLockConnection},
    error::NamedLockError,
    idle_limit::IdleLimit,
    lock::NamedLock,
    name::LockName,
};

/// How long a release waits for more confirmations than it needs.
const GRACE: Duration = Duration::from_millis(20);
/// After so many questions without an answer, a node is lost. The server frees the lock after all of an idle limit.
const UNANSWERED: u32 = 2;

pub(super) struct Attempt<M>
where
    M: ManageConnection,
    PooledConnection<M>: NamedLockConnection,
{
    nodes: Arc<Nodes<M>>,
    common: Arc<Common<M>>,
    links: Links<M>,
    protocol: Protocol,
    parts: Vec<Part>,
    /// The closure is over.
    is_ending: bool,
    /// A transaction that the closure left open, on the connection of this node.
    left_open: Option<(usize, NamedLockError)>,
}

/// Why an attempt has ended without the lock. Nothing is held.
pub(super) enum NotAcquired {
    TimedOut,
    /// Too few nodes could be used. The next attempt may succeed.
    TooFew,
    SameServer([String; 2]),
}

impl<M> Attempt<M>
where
    M: ManageConnection,
    PooledConnection<M>: NamedLockConnection + Send + 'static,
{
    pub(super) fn new(nodes: Arc<Nodes<M>>, lock: NamedLock, limit: IdleLimit, deadline: Deadline) -> Self {
        let longest_silence = Duration::from_secs(limit.seconds()) * UNANSWERED / QUESTIONS_PER_LIMIT;
        let members = Arc::new(Members::new(nodes.rules, longest_silence));
        let common = Arc::new(Common { answers: Answers::new(), members, lock, limit, deadline });
        let (protocol, parts) = (Protocol::new(nodes.rules), nodes.all.iter().map(|_| Part::new()).collect());
        Self {
            links: Links::new(&nodes.all, common.clone()),
            nodes,
            common,
            protocol,
            parts,
            is_ending: false,
            left_open: None,
        }
    }

    /// Acquires the lock, or what is enough of it.
    pub(super) fn acquire(&mut self) -> Result<(), NotAcquired> {
        let mut step = self.protocol.start();
        loop {
            step = match step {
                Step::Ask(order, nodes) => {
                    let next = self.ask(order, nodes);
                    if order == Order::Connect {
                        self.refuse_same_server()?;
                    }
                    next
                }
                Step::Work => {
                    self.begin();
                    return Ok(());
                }
                Step::TimedOut => return Err(NotAcquired::TimedOut),
                Step::Pause => return Err(NotAcquired::TooFew),
                Step::Ended(_) => unreachable!("nothing was begun"),
            }
        }
    }

    /// The closure begins. The links of nodes that are not held try to acquire them, now and then.
    fn begin(&mut self) {
        let held = self.protocol.held();
        self.common.members.begin(held);
        for node in (self.all() - held).iter() {
            self.links.look_out(node);
        }
    }

    fn all(&self) -> NodeSet {
        NodeSet::first(self.parts.len())
    }

    /// Releases the lock, and says whether it was held until then.
    pub(super) fn finish(&mut self) -> Result<(), QuorumError> {
        self.is_ending = true;
        let members = self.common.members.end();
        self.look_at_members();
        for node in (self.all() - members).iter() {
            // Releases what the session may hold nevertheless.
            self.links.dismiss(node);
        }
        let mut step = self.protocol.finish(members, self.left_open.as_ref().map(|(node, _)| *node));
        let held = loop {
            step = match step {
                Step::Ask(order, nodes) => self.ask(order, nodes),
                Step::Ended(held) => break held,
                Step::Pause | Step::Work | Step::TimedOut => unreachable!("the end of a section is a release"),
            }
        };
        match self.left_open.take() {
            _ if !held => Err(self.lost()),
            Some((_, left_open)) => Err(left_open.into()),
            None => Ok(()),
        }
    }

    /// Which nodes are members, and why others no longer are.
    pub(super) fn look_at_members(&mut self) {
        let members = self.members().present();
        for node in members.iter() {
            self.parts[node].state = NodeState::Held;
        }
        for node in (self.protocol.held() - members).iter() {
            self.parts[node].state = NodeState::Failed(format!("lost before the end: {}", self.members().reason(node)));
        }
    }

    /// Lends the connection of the home, or of the next member if the home has just been lost, with the number of its node.
    ///
    /// While the lock was waited for, or held, another server may have been promoted. So if what is known of a node is old, the node is asked
    /// again before its connection is lent.
    pub(super) fn lend(&mut self) -> Option<(usize, Box<Guard<M>>)> {
        let mut known: NodeSet = self.all().iter().filter(|node| self.parts[*node].is_known()).collect();
        while let Some(node) = self.home(known) {
            let looks = !known.contains(node) && self.chosen() != Some(node);
            let due = Some(Instant::now() + self.nodes.answer_within);
            self.links.ask(node, Task::Lend { looks }, due);
            let said = self.links.next(due).map(|(_, said)| said);
            let (guard, found) = match said.or_else(|| self.links.abandon(node)) {
                Some(Said::Lent(guard, found)) => (guard, found),
                other => {
                    let reason = match other {
                        Some(Said::Failed(NodeState::Failed(reason))) => reason,
                        _ => "no answer in time".to_owned(),
                    };
                    self.common.members.lose_node(node, reason);
                    // Perhaps it is back before the end.
                    self.links.look_out(node);
                    continue;
                }
            };
            known.insert(node);
            self.parts[node].learn(found);
            if self.home(known) == Some(node) {
                return Some((node, guard));
            }
            self.take_back(node, guard);
        }
        None
    }

    pub(super) fn take_back(&mut self, node: usize, mut guard: Box<Guard<M>>) {
        match guard.transaction_left_open() {
            Some(error) => self.left_open = Some((node, error)),
            None => self.left_open = self.left_open.take().filter(|(of, _)| *of != node),
        }
        if thread::panicking() {
            // Who knows what the closure has left there.
            status::mark_broken(&mut **guard);
        }
        self.links.give_back(node, guard);
    }

    pub(super) fn name(&self) -> &LockName {
        self.common.name()
    }

    pub(super) fn lost(&self) -> QuorumError {
        QuorumError::Lost { name: self.name().clone(), required: self.required(), nodes: self.reports() }
    }

    pub(super) fn no_majority(&self) -> QuorumError {
        QuorumError::NoMajority {
            name: self.name().clone(),
            needed: self.nodes.rules.majority,
            required: self.required(),
            waited: self.common.deadline.elapsed(),
            nodes: self.reports(),
        }
    }

    /// The name of the node that must be held.
    fn required(&self) -> Option<String> {
        self.nodes.rules.required.map(|node| self.nodes.all[node].name.clone())
    }

    pub(super) fn members(&self) -> &Arc<Members> {
        &self.common.members
    }

    /// The names of the nodes that hold the lock.
    pub(super) fn member_names(&self) -> Vec<&str> {
        self.members().present().iter().map(|node| self.nodes.all[node].name.as_str()).collect()
    }

    /// The node whose connection the closure gets: the one that was chosen, or else the first on which it can write. If that is none of the
    /// nodes that are `known`, one that may be.
    fn home(&self, known: NodeSet) -> Option<usize> {
        let present = self.members().present();
        let can_write = |node: &usize| self.parts[*node].found.as_ref().is_some_and(|found| !found.is_read_only);
        let writable = present.iter().find(can_write);
        let home = self.chosen().or(writable).or((present - known).lowest()).or(present.lowest());
        home.filter(|_| self.nodes.rules.is_enough(present))
    }

    /// The node on which the closure has left a transaction open, or else the one that the caller chose.
    fn chosen(&self) -> Option<usize> {
        let present = self.members().present();
        let open = self.left_open.as_ref().map(|(node, _)| *node);
        [open, self.nodes.home].into_iter().flatten().find(|node| present.contains(*node))
    }

    /// After a timeout: what each node says about the lock.
    pub(super) fn describe(&mut self) -> Vec<NodeReport> {
        let due = Instant::now() + self.nodes.answer_within;
        for node in self.all().iter() {
            if self.parts[node].found.is_some() && self.links.is_linked(node) {
                self.links.ask(node, Task::Describe, Some(due));
                // Until it says otherwise.
                self.parts[node].state = NodeState::Silent;
            }
        }
        while let Some((node, said)) = self.links.next_due() {
            if let Said::Described(state) | Said::Failed(state) = said {
                self.parts[node].state = state;
            }
        }
        self.reports()
    }

    fn reports(&self) -> Vec<NodeReport> {
        let parts = self.nodes.all.iter().zip(&self.parts);
        parts.map(|(node, part)| NodeReport { node: node.name.clone(), state: part.state.clone() }).collect()
    }

    fn refuse_same_server(&self) -> Result<(), NotAcquired> {
        let runs: Vec<_> = self.parts.iter().map(|part| part.found.as_ref().map(|found| &found.run)).collect();
        find_same_server(&self.nodes.all, &runs).map_or(Ok(()), |nodes| Err(NotAcquired::SameServer(nodes)))
    }

    /// Asks the nodes at once, and hears them until the protocol has its next step.
    fn ask(&mut self, order: Order, nodes: NodeSet) -> Step {
        let now = Instant::now();
        let limit = match order {
            // Also after the deadline, a node has its time for an answer.
            Order::Wait => {
                let waits_until = self.common.deadline.instant().map(|deadline| deadline.max(now));
                waits_until.and_then(|until| until.checked_add(self.nodes.answer_within))
            }
            _ => Some(now + self.nodes.answer_within),
        };
        let mut step = None;
        for node in nodes.iter() {
            if order == Order::Connect {
                if let Err(state) = self.links.connect(node) {
                    self.parts[node].state = state;
                    step = self.protocol.hear(node, Answer::Out);
                    continue;
                }
            }
            self.links.ask(node, Task::Carry(order), limit);
        }
        match step {
            Some(step) => step,
            None => self.hear(order),
        }
    }

    fn hear(&mut self, order: Order) -> Step {
        let mut hurries = order == Order::Release;
        loop {
            let look = match order {
                Order::Wait => Some(Instant::now() + self.nodes.answer_within),
                _ => hurries.then(|| Instant::now() + GRACE),
            };
            let until = [self.links.due(), look].into_iter().flatten().min();
            let step = match self.links.next(until) {
                Some((node, said)) => {
                    hurries = order == Order::Release;
                    self.note(node, said)
                }
                None if !self.links.late().is_empty() => self.give_up(self.links.late()),
                // A connection that waits for the lock can't be told from one whose server is silent, but by other connections.
                None if order == Order::Wait => {
                    let asked = self.protocol.asked().iter();
                    self.give_up(asked.filter(|node| !self.nodes.all[*node].seems_alive()).collect())
                }
                None => {
                    hurries = false;
                    self.protocol.hurry()
                }
            };
            if let Some(step) = step {
                return step;
            }
        }
    }

    fn note(&mut self, node: usize, said: Said<M>) -> Option<Step> {
        let part = &mut self.parts[node];
        let answer = match said {
            Said::Connected(found) => {
                part.learn(Some(found));
                Answer::Done
            }
            Said::Granted => {
                part.state = NodeState::Held;
                self.common.members.grant(node);
                Answer::Done
            }
            Said::Busy => {
                part.state = NodeState::Busy;
                Answer::Busy
            }
            Said::Released => {
                part.state = if self.is_ending { NodeState::Confirmed } else { NodeState::NotAsked };
                Answer::Done
            }
            Said::Failed(state) => {
                part.state = state;
                self.links.cut(node);
                Answer::Out
            }
            Said::Lent(..) | Said::Described(_) => unreachable!("no order was to do that"),
        };
        self.protocol.hear(node, answer)
    }

    /// These nodes are out, unless their answers have come at the last moment.
    fn give_up(&mut self, nodes: NodeSet) -> Option<Step> {
        let mut step = None;
        for node in nodes.iter() {
            step = match self.links.abandon(node) {
                Some(said) => self.note(node, said),
                None => {
                    self.nodes.all[node].mark_down(&NodeState::Silent);
                    self.parts[node].state = NodeState::Silent;
                    self.protocol.hear(node, Answer::Out)
                }
            };
        }
        step
    }
}
