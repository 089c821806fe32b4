//! The section: from the grant to the release.

use crate::{
    client::{Pending, Session, Stage, Tick},
    quorum::{
        membership::Membership,
        node_set::NodeSet,
        protocol::{Answer, Order},
    },
    scenario::{Client, Flaw, Scenario},
    state::State,
};

impl State {
    /// The closure begins. The nodes whose sessions were lost before are no members.
    pub fn work(&mut self, scenario: &Scenario, client: Client) {
        for other in 0..self.clients.len() {
            if self.clients[other].stage == Stage::Working {
                self.clients[other].overlapped |= 1 << client;
                self.clients[client].overlapped |= 1 << other;
            }
        }
        let process = &mut self.clients[client];
        let held = process.protocol.held();
        let members: NodeSet = held.iter().filter(|node| process.links[*node].session != Session::None).collect();
        process.membership = Some(Membership::new(scenario.rules(client), members));
        process.stage = Stage::Working;
        for (node, link) in process.links.iter_mut().enumerate() {
            if !held.contains(node) {
                link.session = Session::None;
            }
        }
    }

    /// Another session tries to acquire a node that is no member.
    pub fn join(&mut self, client: Client, node: usize) {
        self.joins_left -= 1;
        let server = self.server_of(self.clients[client].links[node].name);
        let link = &mut self.clients[client].links[node];
        (link.session, link.order) = (Session::Alive(server), Pending::Order(Order::Acquire));
    }

    /// The member counts no more, because it has not answered for a while. Its session is asked on.
    pub fn fall_silent(&mut self, client: Client, node: usize) {
        let process = &mut self.clients[client];
        process.links[node].order = Pending::Nothing;
        process.membership.iter_mut().for_each(|membership| membership.lose(node));
    }

    /// The server is asked, and answers, whether the session holds the lock.
    pub fn ping(&mut self, client: Client, node: usize) {
        let process = &mut self.clients[client];
        process.links[node].order = Pending::Holds(process.clock);
    }

    pub fn hear_ping(&mut self, scenario: &Scenario, client: Client, node: usize, sent: Tick) {
        let process = &mut self.clients[client];
        process.links[node].order = Pending::Nothing;
        self.hear_answer(client, node, Some(sent).filter(|_| !scenario.has(Flaw::OldAnswersProve)));
    }

    /// What the driver makes of an answer that the lock is held. `None`: the question was sent just now.
    pub fn hear_answer(&mut self, client: Client, node: usize, sent: Option<Tick>) {
        let process = &mut self.clients[client];
        let Some(membership) = &mut process.membership else { return };
        let before = membership.members().len();
        if membership.has(node) {
            membership.hear(node, &sent.unwrap_or(process.clock));
        } else {
            // It was silent. That counts as if it had been acquired again.
            membership.acquire(node, process.clock);
            process.clock += 1;
        }
        process.has_joined |= membership.members().len() > before;
    }

    /// What came of [`join`](Self::join).
    pub fn hear_newcomer(&mut self, scenario: &Scenario, client: Client, node: usize, answer: Answer) {
        if answer == Answer::Done && scenario.has(Flaw::GrantIsAnAnswer) {
            self.hear_answer(client, node, None);
        }
        let process = &mut self.clients[client];
        let Some(membership) = &mut process.membership else { unreachable!("nobody joins before the section") };
        match answer {
            Answer::Done if scenario.has(Flaw::NewcomerCounts) => {
                let members = membership.members() | NodeSet::only(node);
                *membership = Membership::new(scenario.rules(client), members);
            }
            Answer::Done => {
                membership.acquire(node, process.clock);
                process.clock += 1;
            }
            Answer::Busy | Answer::Out => process.links[node].session = Session::None,
        }
    }

    /// The closure is over. Sessions of nodes that are no members are given up.
    pub fn finish(&mut self, scenario: &Scenario, client: Client, to_roll_back: Option<usize>) {
        let members = self.clients[client].held();
        for node in self.clients[client].nodes() {
            if members.contains(node) {
                self.clients[client].links[node].order = Pending::Nothing;
            } else {
                self.give_up(client, node);
            }
        }
        let process = &mut self.clients[client];
        (process.stage, process.membership, process.clock) = (Stage::Releasing, None, 0);
        let step = process.protocol.finish(members, to_roll_back);
        self.follow(scenario, client, step);
    }

    pub fn hurry(&mut self, scenario: &Scenario, client: Client) {
        if let Some(step) = self.clients[client].protocol.hurry() {
            self.follow(scenario, client, step);
        }
    }

    /// Flawed: another session with the lock takes the place of a member's that was lost.
    pub fn join_at_the_end(&mut self, client: Client, node: usize) {
        self.joins_left -= 1;
        let server = self.server_of(self.clients[client].links[node].name);
        self.clients[client].links[node].session = Session::Alive(server);
        assert!(self.hosts[server].try_acquire(client));
    }
}
