//! A line of the matrix: what is done, and what is expected of it. All of it is data, written down before it runs.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use diesel_named_lock::NamedLockError;

use crate::{lock::Kind, stage::Stage};

/// The lock is free for others before the section has returned: their first, unwaiting attempt succeeds.
pub const AT_ONCE: Duration = Duration::ZERO;

/// For a session that the server has to end: it takes milliseconds, and this much on a busy machine.
pub const SOON: Duration = Duration::from_secs(3);

#[derive(Debug, Clone)]
pub struct Scenario {
    pub name: &'static str,
    pub run: fn(&Stage),
    /// What is locked.
    pub kind: Kind,
    pub expected: Expected,
}

#[derive(Debug, Clone)]
pub struct Expected {
    /// What the caller sees: each of these at least once.
    pub surely: &'static [Outcome],
    /// What else it may see.
    pub perhaps: &'static [Outcome],
    /// For how long at most the lock is not free…
    pub free_within: Duration,
    /// …counted from here.
    pub since: &'static str,
    /// Which connection the pool may serve afterwards, a working one that holds nothing. Empty if there is no pool.
    pub pool: &'static [Served],
    pub server: Fate,
}

/// What becomes of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It serves other scenarios at the same time.
    Unharmed,
    /// It is stopped for a while, and serves no session during that time. All its sessions live on.
    Stopped,
    /// It is killed, and all its sessions with it.
    Killed,
}

/// What a caller sees of a section.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    Ok,
    Timeout,
    AlreadyHeld,
    TransactionLeftOpen,
    Deadlock,
    Interrupted,
    Lost,
    ConnectionSwapped,
    Broken,
    Refused,
    /// The error of the work itself.
    WorkFailed,
    Panicked,
    /// Nothing: the process is dead.
    ProcessKilled,
    /// Nothing: its future was dropped.
    Dropped,
}

/// Which connection a pool serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Served {
    /// The one that went through the fault.
    Kept,
    /// Another one.
    Replaced,
}

/// What a scenario has seen.
#[derive(Debug, Default)]
pub struct Observed {
    pub outcomes: BTreeMap<Outcome, u32>,
    /// The longest time until the lock was free.
    pub free_after: Option<Duration>,
    pub pool: BTreeSet<Served>,
    /// What else is worth knowing.
    pub notes: Vec<String>,
    /// What must never be, whatever was expected.
    pub wrong: Vec<String>,
}

/// A scenario that expects its caller to see `surely`, on a server that is unharmed.
pub fn scenario(name: &'static str, run: fn(&Stage), surely: &'static [Outcome]) -> Scenario {
    let (perhaps, pool, server) = (&[][..], &[][..], Fate::Unharmed);
    let expected = Expected { surely, perhaps, free_within: AT_ONCE, since: "the section's end", pool, server };
    Scenario { name, run, kind: Kind::Named, expected }
}

impl Scenario {
    pub fn perhaps(mut self, perhaps: &'static [Outcome]) -> Self {
        self.expected.perhaps = perhaps;
        self
    }

    pub fn over(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    pub fn free_within(mut self, bound: Duration) -> Self {
        self.expected.free_within = bound;
        self
    }

    pub fn since(mut self, what: &'static str) -> Self {
        self.expected.since = what;
        self
    }

    pub fn pool(mut self, pool: &'static [Served]) -> Self {
        self.expected.pool = pool;
        self
    }

    pub fn server(mut self, server: Fate) -> Self {
        self.expected.server = server;
        self
    }
}

impl Expected {
    /// Everything in which what was seen is not what was expected.
    pub fn differences(&self, seen: &Observed) -> Vec<String> {
        let mut differences = seen.wrong.clone();
        for missing in self.surely.iter().filter(|outcome| !seen.outcomes.contains_key(outcome)) {
            differences.push(format!("{missing:?} was not seen"));
        }
        for other in
            seen.outcomes.keys().filter(|outcome| !self.surely.iter().chain(self.perhaps).any(|o| o == *outcome))
        {
            differences.push(format!("{other:?} was seen"));
        }
        match seen.free_after {
            None => differences.push("nobody has looked whether the lock is free".into()),
            Some(after) if after > self.free_within => {
                differences.push(format!("the lock was free {after:.1?} after {}", self.since));
            }
            Some(_) => {}
        }
        if seen.pool.is_empty() != self.pool.is_empty() || seen.pool.iter().any(|served| !self.pool.contains(served)) {
            differences.push(format!("the pool served {:?}", seen.pool));
        }
        differences
    }
}

impl Outcome {
    pub fn of(error: &NamedLockError) -> Self {
        match error {
            NamedLockError::Timeout { .. } => Self::Timeout,
            NamedLockError::AlreadyHeld { .. } => Self::AlreadyHeld,
            NamedLockError::TransactionLeftOpen { .. } => Self::TransactionLeftOpen,
            NamedLockError::Deadlock { .. } => Self::Deadlock,
            NamedLockError::Interrupted { .. } => Self::Interrupted,
            NamedLockError::Lost { .. } => Self::Lost,
            NamedLockError::ConnectionSwapped { .. } => Self::ConnectionSwapped,
            NamedLockError::Broken { .. } => Self::Broken,
            NamedLockError::Refused { .. } => Self::Refused,
            NamedLockError::Database(_) => Self::WorkFailed,
            other => panic!("no scenario expects {other:?}"),
        }
    }
}
