//! The orders of the protocol, and what comes of them.

use crate::{
    client::{End, Pending, Session, Stage},
    quorum::{
        node_set::NodeSet,
        protocol::{Answer, Order, Protocol, Step},
    },
    scenario::{Client, Flaw, Scenario},
    state::State,
};

impl State {
    /// Begins an attempt, with sessions of its own.
    pub fn start(&mut self, scenario: &Scenario, client: Client) {
        let process = &mut self.clients[client];
        process.attempts_left -= 1;
        process.stage = Stage::Acquiring;
        let step = process.protocol.start();
        self.follow(scenario, client, step);
    }

    /// The server executes an order, and its answer is on its way.
    pub fn execute(&mut self, scenario: &Scenario, client: Client, node: usize, order: Order) {
        let link = self.clients[client].links[node];
        if order == Order::Connect {
            self.clients[client].links[node].session = Session::Alive(self.server_of(link.name));
            return self.hear(scenario, client, node, Answer::Done);
        }
        let answer = match link.session {
            Session::Alive(server) => {
                let host = &mut self.hosts[server];
                match order {
                    Order::Release if host.release(client) => Answer::Done,
                    Order::Release => Answer::Out,
                    _ if host.try_acquire(client) => Answer::Done,
                    _ => Answer::Busy,
                }
            }
            // Only if the flaw is there: by the next session, which finds the lock of another one.
            Session::None | Session::Dead => Answer::Done,
        };
        self.clients[client].links[node].order = Pending::Answer(answer);
    }

    pub fn hear(&mut self, scenario: &Scenario, client: Client, node: usize, answer: Answer) {
        let process = &mut self.clients[client];
        let was_connecting = process.links[node].order == Pending::Order(Order::Connect);
        process.links[node].order = Pending::Nothing;
        if process.stage == Stage::Working {
            return self.hear_newcomer(scenario, client, node, answer);
        }
        if process.stage == Stage::Releasing && answer == Answer::Done {
            process.confirmed.insert(node);
        }
        let mut step = process.protocol.hear(node, answer);
        if step.is_some() && was_connecting && scenario.has(Flaw::MajorityOfReachable) {
            step = process.shrink_to_reachable(scenario.rules(client));
        }
        if let Some(step) = step {
            self.follow(scenario, client, step);
        }
    }

    /// The client gets no answer, or an error, or finds the session dead. It gives up the session.
    pub fn out(&mut self, scenario: &Scenario, client: Client, node: usize) {
        let order = self.clients[client].links[node].order;
        self.give_up(client, node);
        let process = &mut self.clients[client];
        match (process.stage, order) {
            (Stage::Acquiring, Pending::Order(Order::Connect)) if scenario.has(Flaw::SkippedComesLast) => {
                process.links[node].order = order;
                process.put_last(node, scenario.rules(client));
            }
            (Stage::Working, _) => process.membership.iter_mut().for_each(|members| members.lose(node)),
            // The protocol learns of it if it asks the node once more.
            (_, Pending::Nothing) => {}
            (Stage::Releasing, _) if scenario.has(Flaw::OutIsReleased) => {
                self.hear(scenario, client, node, Answer::Done);
            }
            _ => self.hear(scenario, client, node, Answer::Out),
        }
    }

    pub fn follow(&mut self, scenario: &Scenario, client: Client, step: Step) {
        match step {
            Step::Ask(order, nodes) => {
                for node in nodes.iter() {
                    self.clients[client].links[node].order = Pending::Order(order);
                }
            }
            Step::Pause => self.end(scenario, client, Stage::Paused),
            Step::Work => self.work(scenario, client),
            Step::TimedOut => self.end(scenario, client, Stage::Ended(End::TimedOut)),
            Step::Ended(was_held) if was_held || scenario.has(Flaw::DecidedAtGrant) => {
                self.leave_late_answers(client);
                self.end(scenario, client, Stage::Ended(End::Ok));
            }
            Step::Ended(_) => self.end(scenario, client, Stage::Ended(End::Lost)),
        }
    }

    /// The sessions whose answers a section in a hurry has not awaited are given up.
    fn leave_late_answers(&mut self, client: Client) {
        for node in self.clients[client].nodes() {
            if self.clients[client].links[node].order != Pending::Nothing {
                self.give_up(client, node);
            }
        }
    }

    /// Forgets what no longer matters. A lock that should not be there any more stays, for the claims.
    pub fn end(&mut self, scenario: &Scenario, client: Client, stage: Stage) {
        let process = &mut self.clients[client];
        (process.stage, process.membership, process.clock) = (stage, None, 0);
        process.protocol = Protocol::new(scenario.rules(client));
        for (link, name) in process.links.iter_mut().zip(&scenario.clients[client]) {
            (link.name, link.session) = (*name, Session::None);
        }
        if stage != Stage::Ended(End::Ok) {
            (process.confirmed, process.overlapped, process.has_joined) = (NodeSet::default(), 0, false);
            self.clients.iter_mut().for_each(|other| other.overlapped &= !(1 << client));
        }
        if stage != Stage::Paused {
            self.clients[client].attempts_left = 0;
        }
    }
}
