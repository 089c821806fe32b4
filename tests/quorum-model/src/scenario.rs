//! What is checked: a few clients of one lock, their nodes, and what may happen to them.

use crate::quorum::protocol::Rules;

/// The number of a client.
pub type Client = usize;

/// The number of a server, which is a node's name. The order of the numbers is that of the names.
pub type Server = usize;

/// A few clients. Each wants one section.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The configured nodes of each client, in the order in which it asks them.
    pub clients: Vec<Vec<Server>>,
    /// The place of the node that must be held, among those of each client.
    pub required: Option<usize>,
    /// How many times a client begins, at most.
    pub attempts: u8,
    /// How many faults there are, each of any kind of `kinds`, at any moment.
    pub faults: u8,
    pub kinds: &'static [Fault],
    /// How many times clients try to acquire a node while they work, in all.
    pub joins: u8,
    /// Whether a wait may end in `Busy`, at any moment.
    pub deadlines: bool,
    /// Whether a client may continue without answers that it doesn't need, at any moment.
    pub hurry: bool,
    /// Whether a closure may leave a transaction open, which is rolled back before the first member is released.
    pub roll_back: bool,
    /// Whether clients that are alike keep their numbers, so that a run can be read. Takes twice the states.
    pub keeps_numbers: bool,
    pub flaw: Option<Flaw>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// A server forgets all locks and sessions. It is unreachable until it restarts.
    Crash,
    /// A session is killed. Its client learns of it by the next order.
    Kill,
    /// A client gives up a session that is alive, because an answer doesn't come.
    Silence,
    /// A client dies. The servers notice later, one by one, or never.
    Death,
    /// A node's name leads to another server from now on. The sessions stay where they are.
    Swap,
}

/// All but `Swap`, which has a proof of its own.
pub const ANY: &[Fault] = &[Fault::Crash, Fault::Kill, Fault::Silence, Fault::Death];

/// A mistake in the rules, or in the driver that carries out the orders of the protocol. The claims must find it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Flaw {
    HalfIsEnough,
    MajorityOfReachable,
    /// A release is confirmed although the lock is another session's.
    ReleaseOfAnyLock,
    /// A release that is not answered is taken for confirmed.
    OutIsReleased,
    /// What was held when the work began decides the outcome.
    DecidedAtGrant,
    /// A node that was out is not left out of the attempt, but comes last in it.
    SkippedComesLast,
    /// A node that is acquired while the client works counts at once.
    NewcomerCounts,
    /// Answers to questions from before the grant prove it, too.
    OldAnswersProve,
    /// The session's grant is taken for an answer that the member's session holds the lock, even if that is another session.
    GrantIsAnAnswer,
    /// A member that could not be asked is taken for one that has answered.
    UnaskedAnswers,
    /// A session that takes the place of a member's while the others are released is released like it.
    JoinsAtTheEnd,
    /// A node is whatever server its name leads to.
    AnyServerIsTheNode,
}

impl Scenario {
    /// Creates a scenario of clients with the same nodes. Nothing happens to them.
    pub fn new(clients: usize, nodes: usize) -> Self {
        Self::of(vec![(0..nodes).collect(); clients])
    }

    /// Creates a scenario of clients with nodes of their own.
    pub fn of(clients: Vec<Vec<Server>>) -> Self {
        Self {
            clients,
            required: None,
            attempts: 1,
            faults: 0,
            kinds: ANY,
            joins: 0,
            deadlines: false,
            hurry: false,
            roll_back: false,
            keeps_numbers: false,
            flaw: None,
        }
    }

    pub fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    pub fn rules(&self, client: Client) -> Rules {
        let rules = Rules::new(self.clients[client].len(), self.required);
        if self.has(Flaw::HalfIsEnough) { Rules { majority: rules.nodes / 2, ..rules } } else { rules }
    }

    /// Returns whether it makes no difference which client is which.
    pub fn clients_are_alike(&self) -> bool {
        self.clients.iter().all(|nodes| *nodes == self.clients[0])
    }

    pub fn servers(&self) -> usize {
        1 + *self.clients.iter().flatten().max().unwrap()
    }
}
