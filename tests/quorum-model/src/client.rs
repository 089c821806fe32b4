//! A client's side: its protocol, its sessions, and the orders that are on their way.

use std::{cmp::Ordering, ops::Range};

use crate::{
    quorum::{
        membership::Membership,
        node_set::NodeSet,
        protocol::{Answer, Order, Protocol, Rules, Step},
    },
    scenario::{Client, Scenario, Server},
};

/// What a question and a grant have in place of their moments: of the questions that a client sends between two grants, it makes no difference
/// which one is the first.
pub type Tick = u8;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Process {
    pub protocol: Protocol,
    /// While it works.
    pub membership: Option<Membership<Tick>>,
    /// How many nodes it has acquired while it works.
    pub clock: Tick,
    /// Whether one of them became a member.
    pub has_joined: bool,
    pub stage: Stage,
    /// To each node, in the client's order.
    pub links: Vec<Link>,
    pub attempts_left: u8,
    /// The nodes that have confirmed their release.
    pub confirmed: NodeSet,
    /// The clients whose sections overlapped with this one's, as bits. Forgotten if one of the two doesn't end as `Ok`.
    pub overlapped: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    Acquiring,
    Working,
    Releasing,
    /// Begins again, if it has attempts left.
    Paused,
    Ended(End),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum End {
    Ok,
    Lost,
    TimedOut,
    Died,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Link {
    /// The node's name.
    pub name: Server,
    pub session: Session,
    pub order: Pending,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Session {
    /// There is none, or the client has given it up.
    #[default]
    None,
    Alive(Server),
    /// Killed, or gone with its server. The client learns of it by the next order.
    Dead,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Pending {
    #[default]
    Nothing,
    /// The server has not executed it yet.
    Order(Order),
    /// The client has not heard it yet.
    Answer(Answer),
    /// The session holds the lock, as the answer to a question that was sent then. The client has not heard it yet.
    Holds(Tick),
}

impl Process {
    pub fn new(scenario: &Scenario, client: Client) -> Self {
        Self {
            protocol: Protocol::new(scenario.rules(client)),
            membership: None,
            clock: 0,
            has_joined: false,
            stage: Stage::Paused,
            links: links(&scenario.clients[client]),
            attempts_left: scenario.attempts,
            confirmed: NodeSet::default(),
            overlapped: 0,
        }
    }

    pub fn nodes(&self) -> Range<usize> {
        0..self.links.len()
    }

    /// Returns whether there is nothing that the client will still do.
    pub fn is_settled(&self) -> bool {
        match self.stage {
            Stage::Paused => self.attempts_left == 0,
            Stage::Ended(_) => true,
            _ => false,
        }
    }

    pub fn is_running(&self) -> bool {
        matches!(self.stage, Stage::Acquiring | Stage::Working | Stage::Releasing)
    }

    /// Returns the nodes that count.
    pub fn held(&self) -> NodeSet {
        self.membership.as_ref().map_or(self.protocol.held(), Membership::members)
    }

    /// Returns whether the client works, and a node that doesn't count may have its lock, or have it soon.
    pub fn has_newcomer(&self) -> bool {
        let Some(membership) = &self.membership else { return false };
        let is_known = |node: &usize| membership.has(*node) || self.links[*node].session != Session::None;
        self.nodes().filter(is_known).any(|node| !membership.members().contains(node))
    }

    pub fn may_connect(&self) -> bool {
        let is_connecting = |link: &Link| link.order == Pending::Order(Order::Connect);
        !self.is_settled() && (self.attempts_left > 0 || self.links.iter().any(is_connecting))
    }

    /// Flawed: counts the majority of the nodes that have a session.
    pub fn shrink_to_reachable(&mut self, rules: Rules) -> Option<Step> {
        let reachable = self.links.iter().filter(|link| link.session != Session::None).count();
        self.protocol = Protocol::new(Rules { majority: reachable / 2 + 1, ..rules });
        self.protocol.start();
        self.repeat_answers()
    }

    /// Flawed: puts a node that doesn't answer behind the others, and asks it once more.
    pub fn put_last(&mut self, node: usize, mut rules: Rules) {
        self.links[node..].rotate_left(1);
        rules.required = rules.required.map(|place| match place.cmp(&node) {
            Ordering::Less => place,
            Ordering::Equal => rules.nodes - 1,
            Ordering::Greater => place - 1,
        });
        self.protocol = Protocol::new(rules);
        self.protocol.start();
        self.repeat_answers();
    }

    fn repeat_answers(&mut self) -> Option<Step> {
        let answered = self.links.iter().enumerate().filter(|(_, link)| link.order == Pending::Nothing);
        let answer = |link: &Link| if link.session == Session::None { Answer::Out } else { Answer::Done };
        answered.fold(None, |_, (node, link)| self.protocol.hear(node, answer(link)))
    }
}

impl Link {
    /// Returns a number of 8 bits that no other session and order have, as long as there are few servers.
    pub fn code(&self) -> u64 {
        let session = match self.session {
            Session::None => 0,
            Session::Dead => 1,
            Session::Alive(server) => 2 + server as u64,
        };
        let order = match self.order {
            Pending::Nothing => 0,
            Pending::Order(order) => 1 + order as u64,
            Pending::Answer(answer) => 5 + answer as u64,
            Pending::Holds(sent) => 8 + u64::from(sent),
        };
        session << 4 | order
    }
}

pub fn links(nodes: &[Server]) -> Vec<Link> {
    nodes.iter().map(|name| Link { name: *name, ..Link::default() }).collect()
}
