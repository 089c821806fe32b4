//! What may happen next, for the checker.

use stateright::{Model, Property};

use crate::{
    protocol::clean,
    scenario::Scenario,
    server::{Client, Lock},
    state::{End, Phase, State},
};

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Event {
    pub client: Client,
    pub what: What,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum What {
    /// The client's own next step.
    Step,
    /// A statement of the client finds this slot free.
    Find(Lock),
    /// The client asks for another section inside its section.
    Reenter,
    DeadlinePasses,
    /// `KILL QUERY`. The answer is lost, and what the statement has done so far stays.
    Strike,
    /// `KILL` of the session.
    Kill,
}

impl Model for Scenario {
    type State = State;
    type Action = Event;

    fn init_states(&self) -> Vec<State> {
        vec![State::new(self)]
    }

    fn actions(&self, state: &State, events: &mut Vec<Event>) {
        for client in state.clients().filter(|client| !self.has_idle_twin(state, *client)) {
            let found = self.free_slots(state, client).into_iter().map(What::Find);
            let others = [What::Step, What::Reenter, What::DeadlinePasses, What::Strike, What::Kill];
            let may_happen = others.into_iter().filter(|what| self.may_happen(state, client, *what));
            events.extend(found.chain(may_happen).map(|what| Event { client, what }));
        }
    }

    fn next_state(&self, before: &State, Event { client, what }: Event) -> Option<State> {
        let mut state = before.clone();
        match what {
            What::Step => self.step(&mut state, client),
            What::Find(slot) => assert!(state.server.try_acquire(client, slot)),
            What::Reenter => {
                state.reentries_left -= 1;
                state.phases[client] = Phase::Reentering;
            }
            What::DeadlinePasses => {
                state.server.stop_waiting(client);
                state.phases[client] = clean(&state, client, End::TimedOut);
            }
            What::Strike => {
                state.faults_left -= 1;
                state.server.stop_waiting(client);
                let struck = state.phases[client].statement(self.is_exclusive(client)).unwrap();
                state.phases[client] = Phase::Asking(struck);
            }
            What::Kill => {
                state.faults_left -= 1;
                state.server.kill(client);
            }
        }
        state.remember(self, before);
        (state != *before).then_some(state) // A poll that finds nothing changes nothing.
    }

    fn properties(&self) -> Vec<Property<Self>> {
        self.claims().into_iter().chain(self.sights()).collect()
    }
}

impl Scenario {
    /// Of clients that are alike and have not asked yet, the first one asks next: it makes no difference which does.
    fn has_idle_twin(&self, state: &State, client: Client) -> bool {
        let is_twin = |other: Client| self.clients[other] == self.clients[client] && state.phases[other] == Phase::Idle;
        state.phases[client] == Phase::Idle && (0..client).any(is_twin)
    }

    fn may_happen(&self, state: &State, client: Client, what: What) -> bool {
        let phase = state.phases[client];
        let is_alive = state.server.is_alive(client);
        match what {
            What::Step => true,
            What::Find(_) => unreachable!("depends on the slots"),
            What::Reenter => state.reentries_left > 0 && phase == Phase::Working,
            What::DeadlinePasses => {
                let waits = match phase {
                    Phase::Busy => true,
                    Phase::Queued => state.server.waits_for(client).is_some(),
                    Phase::Head | Phase::Climbing => !state.has_all_slots(self, client),
                    _ => false,
                };
                self.deadlines && is_alive && waits
            }
            What::Strike => state.faults_left > 0 && is_alive && phase.statement(self.is_exclusive(client)).is_some(),
            What::Kill => state.faults_left > 0 && is_alive && !matches!(phase, Phase::Idle | Phase::Ended(_)),
        }
    }
}
