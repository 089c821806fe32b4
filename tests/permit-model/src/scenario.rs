//! What is checked: a few clients of one family, and what may happen to them.

use crate::server::{Client, Lock};

/// A few clients, each with one session. A client wants one section, or one after the other if the scenario is endless.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub clients: Vec<Request>,
    /// How many permits may be held at once.
    pub bound: usize,
    /// How many times a session or a statement is killed, each at any moment.
    pub faults: u8,
    /// Whether deadlines may pass, at any moment of a wait.
    pub deadlines: bool,
    /// How many times clients ask for another section inside theirs.
    pub reentries: u8,
    pub endless: bool,
    pub flaw: Option<Flaw>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Request {
    pub wants: Wants,
    /// The number of slots in the family, as the client's program has it.
    pub slots: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Wants {
    Permits(usize),
    Exclusive,
}

/// A mistake in the protocol, which the claims must find.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Flaw {
    SlotsBeforeTurnstile,
    TurnstileReleasedBeforeLastSlot,
    ExclusiveWithoutTurnstile,
    StruckMeansNotHeld,
    StruckReentryReleases,
    /// A section that holds a permit and wants to be exclusive is refused only after it has waited for the turnstile.
    UpgradeWaits,
    DeadEndsOk,
}

impl Scenario {
    /// Creates a scenario of clients of one program. Nothing happens to them.
    pub fn new(slots: usize, wants: &[Wants]) -> Self {
        Self::of_programs(wants.iter().map(|wants| Request { wants: *wants, slots }).collect())
    }

    /// Creates a scenario of clients of several programs. Its bound is the largest of theirs.
    pub fn of_programs(clients: Vec<Request>) -> Self {
        let bound = clients.iter().map(|client| client.slots).max().unwrap();
        Self { clients, bound, faults: 0, deadlines: false, reentries: 0, endless: false, flaw: None }
    }

    pub fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    pub fn is_exclusive(&self, client: Client) -> bool {
        self.clients[client].wants == Wants::Exclusive
    }

    pub fn slots(&self, client: Client) -> impl Iterator<Item = Lock> + use<> {
        1..=self.clients[client].slots
    }

    /// Returns how many slots the client's section needs.
    pub fn needs(&self, client: Client) -> usize {
        match self.clients[client].wants {
            Wants::Permits(permits) => permits,
            Wants::Exclusive => self.clients[client].slots,
        }
    }

    /// Returns whether the sections of these clients may run at the same time.
    pub fn may_overlap(&self, clients: impl IntoIterator<Item = Client>) -> bool {
        let weight = |client| if self.is_exclusive(client) { self.bound } else { self.needs(client) };
        clients.into_iter().map(weight).sum::<usize>() <= self.bound
    }
}
