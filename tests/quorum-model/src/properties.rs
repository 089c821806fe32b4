//! What must hold in each scenario, and what must be seen in it.

use stateright::Property;

use crate::{
    client::{End, Link, Pending, Process, Session, Stage},
    quorum::protocol::Order,
    scenario::{Client, Fault, Scenario},
    server::Owner,
    state::State,
};

type Claim = Property<Scenario>;

pub const NO_OVERLAP: &str = "two sections that end as Ok never overlapped";
pub const OK_IS_CONFIRMED: &str =
    "a section that ends as Ok was confirmed by more than half of its nodes, and the required one";
pub const ONE_WITH_REQUIRED: &str = "of the sections whose session with the required node is alive, one runs at a time";
pub const NOTHING_HELD: &str = "a client that has ended, or pauses, owns no lock and awaits no answer";
pub const HELD_IS_OWNED: &str = "what a client counts as held is owned by its session, unless that is dead";
pub const OUT_IS_OUT: &str = "a node that was out is not asked again in the attempt";
pub const NO_CIRCLE: &str = "clients don't wait for each other in a circle";
pub const EVERYBODY_ENDS: &str = "every client ends";
pub const EVERYBODY_OK: &str = "without a fault, every client ends as Ok";
pub const ALL_CONFIRMED: &str = "without a fault, all nodes are confirmed";

impl Scenario {
    /// The checker decides an `eventually` at the last states of the runs. That is exact here: once true, these two stay true,
    /// and a run without end does nothing for ever but ping.
    pub fn claims(&self) -> Vec<Claim> {
        let mut claims = vec![
            Claim::always(NO_OVERLAP, |_, state| {
                let pairs = |client: &Process| state.others(client).any(is_ok);
                !state.clients.iter().any(|client| is_ok(client) && pairs(client))
            }),
            Claim::always(OK_IS_CONFIRMED, |scenario, state| {
                !any(state, |client| is_ok(client) && !is_enough(scenario, client))
            }),
            Claim::always(NOTHING_HELD, |_, state| state.numbers().all(|client| is_clean(state, client))),
            Claim::always(HELD_IS_OWNED, |_, state| state.numbers().all(|client| owns_held(state, client))),
            Claim::always(OUT_IS_OUT, |_, state| state.clients.iter().all(asks_sessions)),
            Claim::always(NO_CIRCLE, |_, state| state.numbers().all(|client| !is_in_circle(state, client))),
            Claim::eventually(EVERYBODY_ENDS, |_, state| state.is_over()),
        ];
        if self.required.is_some() {
            claims.push(Claim::always(ONE_WITH_REQUIRED, |scenario, state| {
                state.clients.iter().filter(|client| works_with_required(scenario, client)).count() <= 1
            }));
        }
        if self.faults == 0 && !self.deadlines {
            claims.push(Claim::eventually(EVERYBODY_OK, all_ok));
        }
        if self.faults == 0 && !self.hurry && self.clients_are_alike() {
            claims.push(Claim::always(ALL_CONFIRMED, |_, state| !any(state, ends_without_a_node)));
        }
        claims
    }

    /// Returns what must be reachable. Otherwise, the claims could hold because nothing happens.
    pub fn sights(&self) -> Vec<Claim> {
        let mut sights = vec![Claim::sometimes("all clients end as Ok, one after the other", all_ok)];
        if self.deadlines {
            sights.push(Claim::sometimes("a client times out", |_, state| ended(state, End::TimedOut)));
        }
        if self.hurry {
            sights.push(Claim::sometimes("a section hurries", |_, state| any(state, hurries)));
        }
        if self.joins > 0 {
            sights.push(Claim::sometimes("a section ends as Ok with a node that joined in it", |_, state| {
                any(state, |client| is_ok(client) && client.has_joined)
            }));
        }
        if self.is_contended() {
            sights.push(Claim::sometimes("a client waits while it holds a lower node", |_, state| {
                any(state, waits_holding)
            }));
        }
        if self.is_contended() && (self.required == Some(1) || self.clients[0].len() > 3) {
            sights.push(Claim::sometimes("a client backs off", |_, state| any(state, backs_off)));
        }
        if self.faults > 0 {
            sights.extend(self.sights_of_faults());
        }
        sights
    }

    /// Returns whether a client may find nodes busy although it holds its first one. Otherwise, all clients queue on the same node,
    /// and the client that has it finds the others free.
    fn is_contended(&self) -> bool {
        let first = self.clients[0][0];
        self.faults > 1 && self.required != Some(0) || self.clients.iter().any(|nodes| nodes[0] != first)
    }

    fn sights_of_faults(&self) -> Vec<Claim> {
        let mut sights = vec![
            Claim::sometimes("a section ends as Ok without one of its nodes", |_, state| {
                any(state, ends_without_a_node)
            }),
            Claim::sometimes("a section ends as Lost", |_, state| ended(state, End::Lost)),
        ];
        if self.faults > 1 {
            sights.push(Claim::sometimes("a client pauses", |_, state| {
                any(state, |client| client.stage == Stage::Paused)
            }));
            sights.push(Claim::sometimes("sections overlap", |_, state| any(state, |client| client.overlapped != 0)));
        }
        if self.kinds.contains(&Fault::Death) {
            sights.push(Claim::sometimes("a client dies", |_, state| ended(state, End::Died)));
        }
        if self.kinds.contains(&Fault::Swap) {
            sights.push(Claim::sometimes("a name leads to another server", |_, state| state.swapped.is_some()));
        }
        sights
    }
}

impl State {
    fn numbers(&self) -> std::ops::Range<Client> {
        0..self.clients.len()
    }

    /// Returns the clients whose sections overlapped with this one's.
    fn others(&self, client: &Process) -> impl Iterator<Item = &Process> {
        self.clients.iter().enumerate().filter(|(other, _)| client.overlapped & 1 << other != 0).map(|(_, other)| other)
    }

    /// A client waits for one node at a time.
    fn waits_for(&self, client: Client) -> Option<Owner> {
        let waits = |link: &&Link| link.order == Pending::Order(Order::Wait);
        match self.clients[client].links.iter().find(waits)?.session {
            Session::Alive(server) => self.hosts[server].owner,
            Session::None | Session::Dead => None,
        }
    }
}

fn any(state: &State, what: impl Fn(&Process) -> bool) -> bool {
    state.clients.iter().any(what)
}

fn ended(state: &State, end: End) -> bool {
    any(state, |client| client.stage == Stage::Ended(end))
}

fn all_ok(_: &Scenario, state: &State) -> bool {
    state.clients.iter().all(is_ok)
}

fn is_ok(client: &Process) -> bool {
    client.stage == Stage::Ended(End::Ok)
}

/// Said once more, so that a mistake in the crate's own rules is found, too.
fn is_enough(scenario: &Scenario, client: &Process) -> bool {
    let has_required = scenario.required.is_none_or(|node| client.confirmed.contains(node));
    2 * client.confirmed.len() > client.links.len() && has_required
}

fn ends_without_a_node(client: &Process) -> bool {
    is_ok(client) && client.confirmed.len() < client.links.len()
}

fn works_with_required(scenario: &Scenario, client: &Process) -> bool {
    let is_alive = |node: usize| matches!(client.links[node].session, Session::Alive(_));
    let is_member = |node: &usize| client.held().contains(*node);
    client.stage == Stage::Working && scenario.required.filter(is_member).is_some_and(is_alive)
}

fn is_clean(state: &State, client: Client) -> bool {
    let process = &state.clients[client];
    let owns_none = !state.hosts.iter().any(|host| host.is_owned_by(client));
    process.is_running() || owns_none && process.links.iter().all(|link| link.order == Pending::Nothing)
}

fn owns_held(state: &State, client: Client) -> bool {
    let process = &state.clients[client];
    let held = process.held();
    let is_settled = |node: &usize| matches!(process.links[*node].order, Pending::Nothing | Pending::Holds(_));
    process.nodes().filter(|node| held.contains(*node)).filter(is_settled).all(|node| {
        match process.links[node].session {
            Session::None => process.stage != Stage::Working,
            Session::Alive(_) => state.owns(client, node),
            Session::Dead => true,
        }
    })
}

fn asks_sessions(client: &Process) -> bool {
    client.links.iter().all(|link| match link.order {
        Pending::Order(Order::Acquire | Order::Wait) => link.session != Session::None,
        _ => true,
    })
}

fn is_in_circle(state: &State, client: Client) -> bool {
    let mut waits_for = state.waits_for(client);
    for _ in state.numbers() {
        match waits_for {
            Some(Owner::Session(other)) if other == client => return true,
            Some(Owner::Session(other)) => waits_for = state.waits_for(other),
            Some(Owner::Ghost) | None => return false,
        }
    }
    false
}

/// Releases some of what it holds, before it has worked.
fn backs_off(client: &Process) -> bool {
    let releases = client.links.iter().any(|link| link.order == Pending::Order(Order::Release));
    client.stage == Stage::Acquiring && releases && !(client.protocol.held() - client.protocol.asked()).is_empty()
}

fn waits_holding(client: &Process) -> bool {
    client.links.iter().any(|link| link.order == Pending::Order(Order::Wait)) && !client.protocol.held().is_empty()
}

/// Releases the first member, and has not heard yet of another one.
fn hurries(client: &Process) -> bool {
    let asked = client.protocol.asked();
    let asks_first = client.protocol.held().lowest().is_some_and(|first| asked.contains(first));
    client.stage == Stage::Releasing && asked.len() > 1 && asks_first
}
