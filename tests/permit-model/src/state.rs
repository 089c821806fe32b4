//! A moment of a run: the server's locks, the phase of each client, and what the claims need to remember.

use std::{collections::BTreeSet, mem};

use crate::{
    scenario::Scenario,
    server::{Client, Server},
};

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct State {
    pub server: Server,
    pub phases: Vec<Phase>,
    pub faults_left: u8,
    pub reentries_left: u8,
    pub memory: Memory,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Phase {
    /// Has not asked yet.
    Idle,
    /// ENTER runs, and the session has acquired the turnstile. If the turnstile is taken, ENTER ends at once, in `Busy`.
    Entering,
    /// ENTER has answered that the turnstile is taken. No statement runs.
    Busy,
    /// Waits for the turnstile, or holds it and does not know that yet.
    Queued,
    /// Holds the turnstile, and polls for free slots.
    Head,
    /// Exclusive: holds the turnstile, and waits for one slot after the other.
    Climbing,
    /// Runs its section.
    Working,
    /// Runs its section, and in it asks for another one.
    Reentering,
    /// The section is over, and its release runs, lock by lock. The session held all its locks when the release began.
    Releasing,
    /// After its statement was struck, asks which locks the session holds.
    Asking(Struck),
    /// Releases what the session holds, lock by lock, and then ends.
    Cleaning(End),
    Ended(End),
}

/// A statement whose answer is lost. It may have had its effect, a part of it, or none.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Struck {
    /// The first statement. The client can't tell whether a lock that the session holds is an outer section's.
    First,
    Later,
    Reentry,
    Release,
    Cleaning(End),
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum End {
    Ok,
    Lost,
    TimedOut,
    Interrupted,
    /// The first statement was struck and the session held a lock, so the client has killed the session.
    InDoubt,
    /// The session was killed before the section.
    Failed,
}

/// What the locks and the phases alone don't show.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Memory {
    /// The clients that came to the turnstile and don't have all their slots yet, in the order in which they came.
    pub line: Vec<Place>,
    /// Whether a client got all its slots before another client that had come earlier.
    pub was_overtaken: bool,
    /// Clients whose sections overlapped, although the bound forbids that. They must not all end as `Ok`.
    pub crowds: BTreeSet<Vec<Client>>,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Place {
    pub client: Client,
    /// How many other clients have got all their slots since this one came.
    pub passed: usize,
}

impl Phase {
    /// Returns whether the client has asked and is not in its section yet.
    pub fn is_before_section(self) -> bool {
        matches!(self, Self::Entering | Self::Busy | Self::Queued | Self::Head | Self::Climbing)
    }

    pub fn is_section(self) -> bool {
        matches!(self, Self::Working | Self::Reentering | Self::Asking(Struck::Reentry))
    }

    /// Returns what a `KILL QUERY` strikes now.
    pub fn statement(self, is_exclusive: bool) -> Option<Struck> {
        match self {
            Self::Idle | Self::Entering => Some(Struck::First),
            Self::Queued if is_exclusive => Some(Struck::First),
            Self::Queued | Self::Head | Self::Climbing => Some(Struck::Later),
            Self::Reentering => Some(Struck::Reentry),
            Self::Releasing => Some(Struck::Release),
            Self::Cleaning(end) => Some(Struck::Cleaning(end)),
            // A question that is struck is asked again.
            Self::Busy | Self::Working | Self::Asking(_) | Self::Ended(_) => None,
        }
    }
}

impl State {
    pub fn new(scenario: &Scenario) -> Self {
        let clients = scenario.clients.len();
        let slots = scenario.clients.iter().map(|client| client.slots).max().unwrap();
        Self {
            server: Server::new(slots, clients),
            phases: vec![Phase::Idle; clients],
            faults_left: scenario.faults,
            reentries_left: scenario.reentries,
            memory: Memory::default(),
        }
    }

    pub fn clients(&self) -> impl Iterator<Item = Client> + use<> {
        0..self.phases.len()
    }

    /// Returns the clients in their sections, also those that don't know yet that their session is dead.
    pub fn in_section(&self) -> impl Iterator<Item = Client> + '_ {
        self.clients().filter(|client| self.phases[*client].is_section())
    }

    pub fn has_all_slots(&self, scenario: &Scenario, client: Client) -> bool {
        self.server.slots_held(client) >= scenario.needs(client)
    }

    /// Remembers what has happened since the state before.
    pub fn remember(&mut self, scenario: &Scenario, before: &State) {
        for client in self.clients() {
            if self.has_all_slots(scenario, client) && !before.has_all_slots(scenario, client) {
                self.remember_grant(client);
            }
        }
        let mut line = mem::take(&mut self.memory.line);
        line.retain(|place| self.is_in_line(scenario, place.client));
        for client in self.clients().filter(|client| self.is_in_line(scenario, *client)) {
            if !line.iter().any(|place| place.client == client) {
                line.push(Place { client, passed: 0 });
            }
        }
        self.memory.line = line;

        let crowd: Vec<Client> = self.in_section().collect();
        if !scenario.may_overlap(crowd.iter().copied()) {
            self.memory.crowds.insert(crowd);
        }
    }

    fn is_in_line(&self, scenario: &Scenario, client: Client) -> bool {
        let phase = self.phases[client];
        let came = phase.is_before_section() && phase != Phase::Busy;
        came && self.server.is_alive(client) && !self.has_all_slots(scenario, client)
    }

    fn remember_grant(&mut self, client: Client) {
        let Memory { line, was_overtaken, .. } = &mut self.memory;
        *was_overtaken |= line.first().is_some_and(|first| first.client != client);
        line.retain(|place| place.client != client);
        for place in line {
            place.passed += 1;
        }
    }
}
