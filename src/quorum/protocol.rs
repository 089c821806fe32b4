//! The protocol of a quorum: what is asked of which node, and when that is a lock. No I/O, no clock and no thread, and so model-checked
//! by `tests/quorum-model`.
//!
//! The nodes are in the order of their names, which is the same for all clients. A round asks some of them at once. When each has answered, or
//! counts as [`Out`](Answer::Out), the next round follows.

use super::node_set::NodeSet;

/// When the nodes that are held are a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rules {
    /// The number of configured nodes.
    pub nodes: usize,
    /// How many of them must be held.
    pub majority: usize,
    /// A node that must be held.
    pub required: Option<usize>,
}

impl Rules {
    /// More than half of the configured nodes, not only of those that can be reached.
    pub fn new(nodes: usize, required: Option<usize>) -> Self {
        Self { nodes, majority: nodes / 2 + 1, required }
    }

    pub fn is_enough(self, held: NodeSet) -> bool {
        held.len() >= self.majority && self.required.is_none_or(|node| held.contains(node))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    /// Be reached, and be the server that it has always been.
    Connect,
    /// Acquire the lock if it is free.
    Acquire,
    /// Wait for the lock, until the deadline.
    Wait,
    /// Release the lock, and see that it was held.
    Release,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// What was ordered, is so.
    Done,
    /// Another session holds the lock; after a wait, until the deadline.
    Busy,
    /// No answer, an error, or an answer that was not expected. The session counts for nothing any more.
    Out,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Ask each of these nodes, at once. There is at least one.
    Ask(Order, NodeSet),
    /// Nothing is held. Pause, so that two clients don't repeat in step, and [start](Protocol::start) again.
    Pause,
    /// Run the closure. The nodes that are held are the members.
    Work,
    /// Nothing is held. The lock was not free until the deadline.
    TimedOut,
    /// Nothing is held. Returns whether enough members confirmed that they were held to the end.
    Ended(bool),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Protocol {
    rules: Rules,
    phase: Phase,
    /// The nodes that take part in this attempt. A node that was out stays out until the next attempt: to wait for it later, while
    /// higher nodes are held, could be a circle.
    live: NodeSet,
    held: NodeSet,
    busy: NodeSet,
    /// The nodes that have not answered yet.
    asked: NodeSet,
    confirmed: NodeSet,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Phase {
    Connecting,
    /// Waiting on the first live node, where all clients queue.
    First,
    /// Asking all others, without waiting.
    Others,
    /// Releasing the nodes above the lowest busy one.
    BackingOff,
    /// Waiting on one node after the other, in their order.
    InOrder,
    /// Enough is held. Asking those that have not been asked, without waiting.
    Rest,
    /// Releasing all, with this step to follow.
    GivingUp(Step),
    Working,
    /// Releasing a member whose session must roll back before another client can have the lock.
    RollingBack,
    /// Releasing all members but the first.
    ReleasingOthers,
    /// Releasing the first, where the others queue, so that who comes next finds the others free.
    ReleasingFirst,
    Over,
}

impl Protocol {
    pub fn new(rules: Rules) -> Self {
        let none = NodeSet::default();
        Self { rules, phase: Phase::Over, live: none, held: none, busy: none, asked: none, confirmed: none }
    }

    /// Begins an attempt.
    pub fn start(&mut self) -> Step {
        *self = Self::new(self.rules);
        self.live = NodeSet::first(self.rules.nodes);
        self.ask(Phase::Connecting, Order::Connect, self.live)
    }

    /// The nodes that are held; while the closure runs, the members.
    pub fn held(&self) -> NodeSet {
        self.held
    }

    /// The nodes whose answers are awaited.
    pub fn asked(&self) -> NodeSet {
        self.asked
    }

    /// Continues without the answers that are still awaited, if they are not needed: enough is confirmed, or will be by the first member.
    /// Until the end they may still come, and count.
    pub fn hurry(&mut self) -> Option<Step> {
        match self.phase {
            Phase::ReleasingOthers if self.rules.is_enough(self.confirmed | self.first_held()) => {
                Some(self.release_first())
            }
            Phase::ReleasingFirst if self.rules.is_enough(self.confirmed) => Some(self.end(Step::Ended(true))),
            _ => None,
        }
    }

    /// Notes an answer. Returns the next step if it was the last one of the round.
    pub fn hear(&mut self, node: usize, answer: Answer) -> Option<Step> {
        self.asked.remove(node);
        match (self.phase, answer) {
            (_, Answer::Out) => {
                self.live.remove(node);
                self.held.remove(node);
            }
            (Phase::First | Phase::Others | Phase::InOrder | Phase::Rest, Answer::Done) => self.held.insert(node),
            (Phase::RollingBack | Phase::ReleasingOthers | Phase::ReleasingFirst, _) => {
                self.held.remove(node);
                self.confirmed.insert(node);
            }
            (Phase::BackingOff | Phase::GivingUp(_), _) => self.held.remove(node),
            (_, Answer::Busy) => self.busy.insert(node),
            (_, Answer::Done) => {}
        }
        self.asked.is_empty().then(|| self.next())
    }

    /// The closure is over. `members` are the nodes that count as held. `to_roll_back` is the one whose connection the closure has left in a
    /// transaction.
    pub fn finish(&mut self, members: NodeSet, to_roll_back: Option<usize>) -> Step {
        self.held = members;
        match to_roll_back.filter(|node| self.held.contains(*node)) {
            Some(node) => self.ask(Phase::RollingBack, Order::Release, NodeSet::only(node)),
            None => self.release_others(),
        }
    }

    fn next(&mut self) -> Step {
        match self.phase {
            Phase::Connecting => self.wait_on_first(),
            Phase::First if self.held.is_empty() && self.busy.is_empty() => self.wait_on_first(),
            Phase::First | Phase::InOrder if !self.busy.is_empty() => self.give_up(Step::TimedOut),
            Phase::First => self.ask_others(),
            Phase::Others => self.back_off(),
            Phase::BackingOff | Phase::InOrder => self.wait_in_order(),
            Phase::Rest => self.work(),
            Phase::GivingUp(step) => self.end(step),
            Phase::RollingBack => self.release_others(),
            Phase::ReleasingOthers => self.release_first(),
            Phase::ReleasingFirst => self.end(Step::Ended(self.rules.is_enough(self.confirmed))),
            Phase::Working | Phase::Over => unreachable!("nothing was asked"),
        }
    }

    fn wait_on_first(&mut self) -> Step {
        match self.live.lowest() {
            Some(first) if self.rules.is_enough(self.live) => self.ask(Phase::First, Order::Wait, NodeSet::only(first)),
            _ => self.give_up(Step::Pause),
        }
    }

    /// All of them, not only as many as are needed: then the section survives the loss of more of them.
    fn ask_others(&mut self) -> Step {
        self.ask(Phase::Others, Order::Acquire, self.live - self.held)
    }

    /// Two clients may each hold a part. Who holds nodes above a busy one releases them, because it may not wait below what it holds.
    fn back_off(&mut self) -> Step {
        if self.rules.is_enough(self.held) {
            return self.work();
        }
        let Some(lowest_busy) = self.busy.lowest() else { return self.give_up(Step::Pause) };
        self.busy = NodeSet::default();
        self.ask(Phase::BackingOff, Order::Release, self.held.above(lowest_busy))
    }

    fn wait_in_order(&mut self) -> Step {
        if self.rules.is_enough(self.held) {
            return self.ask(Phase::Rest, Order::Acquire, self.live - self.held);
        }
        let above = self.held.highest().map_or(self.live, |highest| self.live.above(highest));
        match above.lowest() {
            Some(node) if self.rules.is_enough(self.held | above) => {
                self.ask(Phase::InOrder, Order::Wait, NodeSet::only(node))
            }
            _ => self.give_up(Step::Pause),
        }
    }

    fn work(&mut self) -> Step {
        if !self.rules.is_enough(self.held) {
            return self.give_up(Step::Pause);
        }
        self.phase = Phase::Working;
        Step::Work
    }

    fn give_up(&mut self, step: Step) -> Step {
        self.ask(Phase::GivingUp(step), Order::Release, self.held)
    }

    fn release_others(&mut self) -> Step {
        self.ask(Phase::ReleasingOthers, Order::Release, self.held - self.first_held())
    }

    fn release_first(&mut self) -> Step {
        let (first, late) = (self.first_held() - self.asked, self.asked);
        let step = self.ask(Phase::ReleasingFirst, Order::Release, first);
        self.asked = self.asked | late;
        step
    }

    fn first_held(&self) -> NodeSet {
        self.held.lowest().map(NodeSet::only).unwrap_or_default()
    }

    fn end(&mut self, step: Step) -> Step {
        self.phase = Phase::Over;
        step
    }

    /// If there is nobody to ask, the round is over.
    fn ask(&mut self, phase: Phase, order: Order, nodes: NodeSet) -> Step {
        self.phase = phase;
        self.asked = nodes;
        if nodes.is_empty() { self.next() } else { Step::Ask(order, nodes) }
    }
}
