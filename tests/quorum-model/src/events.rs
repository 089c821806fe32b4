//! What may happen next, for the checker.

use stateright::{Model, Property};

use crate::{
    client::{Link, Pending, Process, Session, Stage, Tick},
    quorum::protocol::{Answer, Order},
    scenario::{Client, Fault, Flaw, Scenario, Server},
    server::Owner,
    state::State,
};

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event {
    Client(Client, What),
    Server(Server, Change),
}

/// Of a client, and of the node at this place in its order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum What {
    Start,
    /// The server executes the order. If it is `Connect`, the client hears it at once: nobody else can see the difference.
    Execute(Order, usize),
    Hear(Answer, usize),
    DeadlinePasses(usize),
    /// The client gives up the session. If the session is alive and the node can be reached, that is a fault.
    Out(usize),
    /// While the closure runs, another session tries to acquire the node.
    Join(usize),
    /// The client has not heard of the session for too long, but will ask it again.
    FallSilent(usize),
    /// The server answers that the session holds the lock.
    Ping(usize),
    HearPing(Tick, usize),
    /// The closure is over, and has left a transaction open on this node.
    Finish(Option<usize>),
    Hurry,
    Kill(usize),
    Die,
    /// Flawed.
    JoinAtTheEnd(usize),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Change {
    /// The session of the ghost that has the lock is gone.
    GhostEnds,
    /// A session that was given up acquires the lock.
    GhostAcquires(Client),
    Restart,
    Crash,
    Swap,
}

impl Model for Scenario {
    type State = State;
    type Action = Event;

    fn init_states(&self) -> Vec<State> {
        let mut state = State::new(self);
        (0..self.clients.len()).for_each(|client| state.start(self, client));
        state.normalise(self);
        vec![state]
    }

    fn actions(&self, state: &State, events: &mut Vec<Event>) {
        if state.is_over() {
            return;
        }
        for (client, process) in state.clients.iter().enumerate() {
            let mut may_happen = |what| events.push(Event::Client(client, what));
            self.of_client(state, process, &mut may_happen);
            for node in process.nodes().filter(|_| process.is_running()) {
                self.of_order(state, client, node, &mut may_happen);
                self.of_session(state, process, node, &mut may_happen);
            }
        }
        for server in 0..state.hosts.len() {
            self.of_server(state, server, &mut |change| events.push(Event::Server(server, change)));
        }
    }

    fn next_state(&self, before: &State, event: Event) -> Option<State> {
        let mut state = before.clone();
        state.faults_left -= u8::from(self.is_fault(before, event));
        match event {
            Event::Client(client, what) => self.happen(&mut state, client, what),
            Event::Server(server, Change::GhostEnds) => state.hosts[server].owner = None,
            Event::Server(server, Change::GhostAcquires(client)) => state.execute_stray(self, server, client),
            Event::Server(server, Change::Restart) => state.hosts[server].is_down = false,
            Event::Server(server, Change::Crash) => state.crash(server),
            Event::Server(server, Change::Swap) => state.swapped = Some(server),
        }
        state.normalise(self);
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        self.claims().into_iter().chain(self.sights()).collect()
    }
}

impl Scenario {
    fn happen(&self, state: &mut State, client: Client, what: What) {
        match what {
            What::Start => state.start(self, client),
            What::Execute(order, node) => state.execute(self, client, node, order),
            What::Hear(answer, node) => state.hear(self, client, node, answer),
            What::DeadlinePasses(node) => {
                state.clients[client].links[node].order = Pending::Answer(Answer::Busy);
            }
            What::Out(node) => state.out(self, client, node),
            What::Join(node) => state.join(client, node),
            What::FallSilent(node) => state.fall_silent(client, node),
            What::Ping(node) => state.ping(client, node),
            What::HearPing(sent, node) => state.hear_ping(self, client, node, sent),
            What::Finish(to_roll_back) => state.finish(self, client, to_roll_back),
            What::Hurry => state.hurry(self, client),
            What::Kill(node) => state.kill(client, node),
            What::Die => state.die(self, client),
            What::JoinAtTheEnd(node) => state.join_at_the_end(client, node),
        }
    }

    fn of_client(&self, state: &State, client: &Process, may_happen: &mut impl FnMut(What)) {
        match client.stage {
            Stage::Paused if client.attempts_left > 0 => may_happen(What::Start),
            Stage::Working => {
                may_happen(What::Finish(None));
                if self.roll_back {
                    client.held().iter().for_each(|node| may_happen(What::Finish(Some(node))));
                }
            }
            Stage::Releasing if self.hurry && client.protocol.clone().hurry().is_some() => may_happen(What::Hurry),
            _ => {}
        }
        if client.is_running() && self.may_fault(state, Fault::Death) {
            may_happen(What::Die);
        }
    }

    /// What may become of the order, and of its answer.
    fn of_order(&self, state: &State, client: Client, node: usize, may_happen: &mut impl FnMut(What)) {
        let process = &state.clients[client];
        let link = process.links[node];
        match link.order {
            Pending::Order(order) if self.is_executable(state, client, link, order) => {
                may_happen(What::Execute(order, node));
            }
            Pending::Answer(answer) => may_happen(What::Hear(answer, node)),
            Pending::Holds(sent) => may_happen(What::HearPing(sent, node)),
            _ => {}
        }
        if self.deadlines && link.order == Pending::Order(Order::Wait) && matches!(link.session, Session::Alive(_)) {
            may_happen(What::DeadlinePasses(node));
        }
        if may_be_out(process, node) && (is_out(self, state, link) || self.may_fault(state, Fault::Silence)) {
            may_happen(What::Out(node));
        }
    }

    /// What may become of the session.
    fn of_session(&self, state: &State, client: &Process, node: usize, may_happen: &mut impl FnMut(What)) {
        let link = client.links[node];
        let is_alive = matches!(link.session, Session::Alive(_));
        if is_alive && self.may_fault(state, Fault::Kill) {
            may_happen(What::Kill(node));
        }
        // Nobody needs the answer unless there is a newcomer.
        if (is_alive || self.has(Flaw::UnaskedAnswers) && link.session == Session::Dead)
            && client.has_newcomer()
            && link.order == Pending::Nothing
        {
            may_happen(What::Ping(node));
        }
        let is_member = client.stage == Stage::Working && client.held().contains(node);
        if is_member && self.joins > 0 && self.may_fault(state, Fault::Silence) {
            may_happen(What::FallSilent(node));
        }
        let may_join = state.joins_left > 0 && !self.is_unreachable(state, link);
        if may_join && client.stage == Stage::Working && link.session == Session::None {
            may_happen(What::Join(node));
        }
        let is_in_place = link.order == Pending::Order(Order::Release) && link.session == Session::Dead;
        let is_free = state.hosts[state.server_of(link.name)].owner.is_none();
        if self.has(Flaw::JoinsAtTheEnd) && client.stage == Stage::Releasing && may_join && is_in_place && is_free {
            may_happen(What::JoinAtTheEnd(node));
        }
    }

    fn of_server(&self, state: &State, server: Server, may_happen: &mut impl FnMut(Change)) {
        let host = state.hosts[server];
        if host.owner == Some(Owner::Ghost) {
            may_happen(Change::GhostEnds);
        }
        for (client, strays) in host.strays.into_iter().enumerate() {
            if host.owner.is_none() && strays > 0 {
                may_happen(Change::GhostAcquires(client));
            }
        }
        if host.is_down {
            may_happen(Change::Restart);
        } else if self.may_fault(state, Fault::Crash) {
            may_happen(Change::Crash);
        }
        if self.may_fault(state, Fault::Swap) && state.swapped.is_none() && server < self.servers() {
            may_happen(Change::Swap);
        }
    }

    /// A wait is executed when the lock is free.
    fn is_executable(&self, state: &State, client: Client, link: Link, order: Order) -> bool {
        match (order, link.session) {
            (Order::Connect, _) => !is_out(self, state, link),
            (Order::Wait, Session::Alive(server)) => state.hosts[server].owner.is_none(),
            (_, Session::Alive(_)) => true,
            (Order::Release, Session::Dead) if self.has(Flaw::ReleaseOfAnyLock) => {
                let owner = state.hosts[state.server_of(link.name)].owner;
                owner.is_some_and(|owner| owner != Owner::Session(client))
            }
            _ => false,
        }
    }

    /// Returns whether the node's name leads to another server, or to one that is down.
    fn is_unreachable(&self, state: &State, link: Link) -> bool {
        let is_another = state.swapped == Some(link.name) && !self.has(Flaw::AnyServerIsTheNode);
        is_another || state.hosts[state.server_of(link.name)].is_down
    }

    fn may_fault(&self, state: &State, fault: Fault) -> bool {
        state.faults_left > 0 && self.kinds.contains(&fault)
    }

    fn is_fault(&self, state: &State, event: Event) -> bool {
        match event {
            Event::Client(client, What::Out(node)) => !is_out(self, state, state.clients[client].links[node]),
            Event::Client(_, What::FallSilent(_) | What::Kill(_) | What::Die) => true,
            Event::Server(_, Change::Crash | Change::Swap) => true,
            _ => false,
        }
    }
}

/// A client learns of a session's end by an order, or by its pings while it holds the lock.
fn may_be_out(client: &Process, node: usize) -> bool {
    let link = client.links[node];
    match link.order {
        Pending::Nothing if link.session == Session::None => false,
        Pending::Nothing => client.stage == Stage::Working || client.held().contains(node),
        Pending::Order(_) | Pending::Answer(_) | Pending::Holds(_) => true,
    }
}

/// Returns whether there is no session, and can't be one.
fn is_out(scenario: &Scenario, state: &State, link: Link) -> bool {
    match link.order {
        Pending::Order(Order::Connect) => scenario.is_unreachable(state, link),
        _ => !matches!(link.session, Session::Alive(_)),
    }
}
