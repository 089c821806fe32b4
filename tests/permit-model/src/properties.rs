//! What must hold in each scenario, and what must be seen in it.

use stateright::Property;

use crate::{
    scenario::Scenario,
    server::TURNSTILE,
    state::{End, Phase, State},
};

pub const LIVE_SECTION_HOLDS: &str = "a section on a live session holds all that it needs";
pub const LIVE_WITHIN_BOUND: &str = "the sections on live sessions are within the bound";
pub const OK_WITHIN_BOUND: &str = "sections that ended as Ok were within the bound to their ends";
pub const NOTHING_LEAKS: &str = "a session whose client has ended holds nothing and waits for nothing";
pub const FIRST_COME_FIRST_SERVED: &str = "clients get their slots in the order in which they came to the turnstile";
pub const BOUNDED_OVERTAKING: &str =
    "at most as many sections begin before a client that has come to the turnstile as there are other clients";
pub const EVERYBODY_ENDS: &str = "every client ends";
pub const EVERYBODY_GETS_A_TURN: &str = "every client gets its turn";

impl Scenario {
    /// The checker decides an `eventually` at the last states of the runs. That is exact here: once true, these two stay true,
    /// and a run without end is possible in an endless scenario only.
    pub fn claims(&self) -> Vec<Property<Self>> {
        let mut claims = vec![
            Property::always(LIVE_SECTION_HOLDS, |scenario: &Self, state| {
                live_sections(state).all(|client| state.has_all_slots(scenario, client))
            }),
            Property::always(LIVE_WITHIN_BOUND, |scenario, state| scenario.may_overlap(live_sections(state))),
            Property::always(OK_WITHIN_BOUND, |scenario, state: &State| {
                let ok = |client: &usize| state.phases[*client] == Phase::Ended(End::Ok);
                let of_crowd = |crowd: &Vec<usize>| scenario.may_overlap(crowd.iter().copied().filter(ok));
                state.memory.crowds.iter().all(of_crowd)
            }),
            Property::always(NOTHING_LEAKS, |_, State { server, phases, .. }| {
                let is_clean = |client| server.last_held(client).or(server.waits_for(client)).is_none();
                (0..phases.len()).all(|client| !matches!(phases[client], Phase::Ended(_)) || is_clean(client))
            }),
            Property::always(FIRST_COME_FIRST_SERVED, |_, state: &State| !state.memory.was_overtaken),
            Property::always(BOUNDED_OVERTAKING, |scenario, state| most_passed(state) < scenario.clients.len()),
        ];
        if !self.endless {
            claims.push(Property::eventually(EVERYBODY_ENDS, |_, state: &State| {
                state.phases.iter().all(|phase| matches!(phase, Phase::Ended(_)))
            }));
        }
        if !self.endless && self.faults == 0 && !self.deadlines {
            claims.push(Property::eventually(EVERYBODY_GETS_A_TURN, |_, state: &State| {
                state.phases.iter().all(|phase| *phase == Phase::Ended(End::Ok))
            }));
        }
        claims
    }

    /// Returns what must be reachable. Otherwise, the claims could hold because nothing happens.
    pub fn sights(&self) -> Vec<Property<Self>> {
        let mut sights = self.ends();
        let is_exclusive = |client: usize| self.is_exclusive(client);
        let clients = 0..self.clients.len();
        if clients.clone().any(is_exclusive) {
            sights.push(Property::sometimes("an exclusive client waits for a permit to end", exclusive_waits));
        } else if clients.map(|client| self.needs(client)).sum::<usize>() > self.bound {
            sights.push(Property::sometimes("all slots are in use", all_slots_in_use));
            sights.push(Property::sometimes("a head waits at a full family", head_waits));
        }
        if self.faults > 0 {
            sights.push(Property::sometimes("a dead section overlaps its successors", |_, state: &State| {
                !state.memory.crowds.is_empty()
            }));
        }
        if self.endless {
            sights.push(Property::sometimes(
                "as many sections begin before a client as there are other clients",
                |scenario, state: &State| most_passed(state) + 1 == scenario.clients.len(),
            ));
        }
        if self.reentries > 0 {
            sights.push(Property::sometimes(
                "a section continues after a re-entry that was refused",
                |_, state: &State| {
                    state.reentries_left == 0
                        && live_sections(state).any(|client| state.phases[client] == Phase::Working)
                },
            ));
        }
        sights
    }

    fn ends(&self) -> Vec<Property<Self>> {
        let mut ends = vec![Property::sometimes("a client ends as Ok", |_, state| ended(state, End::Ok))];
        if self.deadlines {
            ends.push(Property::sometimes("a client ends as TimedOut", |_, state| ended(state, End::TimedOut)));
        }
        if self.faults > 0 {
            ends.push(Property::sometimes("a client ends as Lost", |_, state| ended(state, End::Lost)));
            ends.push(Property::sometimes("a client ends as Interrupted", |_, state| ended(state, End::Interrupted)));
            ends.push(Property::sometimes("a client ends as InDoubt", |_, state| ended(state, End::InDoubt)));
            ends.push(Property::sometimes("a client ends as Failed", |_, state| ended(state, End::Failed)));
        }
        ends
    }
}

fn live_sections(state: &State) -> impl Iterator<Item = usize> {
    state.in_section().filter(|client| state.server.is_alive(*client))
}

fn most_passed(state: &State) -> usize {
    state.memory.line.iter().map(|place| place.passed).max().unwrap_or(0)
}

fn ended(state: &State, end: End) -> bool {
    state.phases.contains(&Phase::Ended(end))
}

fn all_slots_in_use(scenario: &Scenario, state: &State) -> bool {
    live_sections(state).map(|client| scenario.needs(client)).sum::<usize>() == scenario.bound
}

fn head_waits(_: &Scenario, state: &State) -> bool {
    let is_full = state.server.slots().all(|slot| !state.server.is_free(slot));
    is_full && state.clients().any(|client| state.phases[client] == Phase::Head && state.server.slots_held(client) == 0)
}

fn exclusive_waits(scenario: &Scenario, state: &State) -> bool {
    let holder = |client| state.server.waits_for(client).filter(|lock| *lock != TURNSTILE);
    state.clients().any(|client| {
        let holder = holder(client).and_then(|slot| state.server.owner(slot));
        holder.is_some_and(|holder| !scenario.is_exclusive(holder) && state.phases[holder] == Phase::Working)
    })
}
