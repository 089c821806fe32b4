//! What happened: the rows that the server put in order, and what each caller was told.

use std::{collections::HashSet, fmt, time::Duration};

use clap::ValueEnum;

use crate::{subject::capacity, violation::Violation};

/// Which section: unique within a run, small enough for a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SectionId(pub u64);

impl SectionId {
    /// A worker process that was killed is started again, with its next `life`.
    pub fn new(process: u8, life: u16, thread: u8, number: u32) -> Self {
        Self(u64::from(process) << 56 | u64::from(life) << 40 | u64::from(thread) << 32 | u64::from(number))
    }

    pub fn thread(self) -> u8 {
        (self.0 >> 32) as u8
    }
}

impl fmt::Display for SectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(id) = self;
        let (process, life, thread, number) = (id >> 56, id >> 40 & 0xffff, id >> 32 & 0xff, id & 0xffff_ffff);
        write!(f, "section {number} of thread {thread}, process {process} (life {life})")
    }
}

/// What a caller learned of its section.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, ValueEnum)]
pub enum Outcome {
    /// `Ok`: the work is done, alone to the end.
    Ok,
    /// The work returned an error because it was to.
    WorkFailed,
    /// A statement of the work failed.
    WorkBroke,
    Panicked,
    Lost,
    LeftOpen,
    Swapped,
    Timeout,
    Deadlock,
    Interrupted,
    Broken,
    Refused,
    AlreadyHeld,
    OpenTransaction,
    /// Nothing: its future was dropped.
    Dropped,
}

impl Outcome {
    /// Whether the closure has run.
    pub fn ran(self) -> bool {
        self <= Self::Swapped
    }
}

/// One section, told by its caller. A caller that was killed tells nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub section: SectionId,
    /// The session it ran on; `None` if that could not be asked.
    pub connection: Option<u64>,
    /// It came with its turn in the queue of the process.
    pub in_turn: bool,
    pub by_guard: bool,
    /// How many counters it has changed, if it was `Ok`.
    pub updates: usize,
    /// `None`: for ever.
    pub timeout: Option<Duration>,
    /// From the call until the work began, or until the call returned without.
    pub waited: Duration,
    pub outcome: Outcome,
    /// It was told that nobody else had the lock from before the work to after it.
    pub alone: bool,
    /// It was inside of another section over one of its locks.
    pub within: bool,
}

/// A row of `events`: written on the section's own session, in a table without transactions, so that it stays whatever
/// becomes of the section. The order of the ids is the order in which the server wrote the rows.
#[derive(Debug, Clone, diesel::Queryable)]
pub struct Event {
    pub id: u64,
    pub section: u64,
    pub name: String,
    pub connection: u64,
    pub kind: String,
    /// How much of the lock the section holds: out of its [capacity](crate::subject::capacity).
    pub weight: u32,
}

/// A row of `writes`: a trigger keeps it of every update of a counter, so that it is there if and only if the update is.
#[derive(Debug, Clone, diesel::Queryable)]
pub struct Write {
    pub id: u64,
    pub section: u64,
    pub name: String,
    /// The counter's value right before.
    pub found: i64,
    /// The value that was written: one more than the section had read.
    pub value: i64,
}

/// A row of `counters`, at the end.
#[derive(Debug, Clone, diesel::Queryable)]
pub struct Counter {
    pub name: String,
    pub value: i64,
}

/// A session that was killed from within.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Killed {
    pub connection: u64,
    /// Its acquire was struck at the moment of the grant. Then nobody can tell whether an outer section holds the lock.
    pub at_grant: bool,
    /// The last statements before.
    pub last: Vec<String>,
}

/// A session that is no more, although its process lives on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone {
    pub connection: u64,
    pub process: u8,
    pub life: u16,
}

/// A session that was given up because the future of its section was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GivenUp {
    pub connection: u64,
    /// It held no lock any more.
    pub free_after: Duration,
}

/// All that the checker gets to see.
#[derive(Debug, Default)]
pub struct History {
    pub events: Vec<Event>,
    pub writes: Vec<Write>,
    pub counters: Vec<Counter>,
    pub reports: Vec<Report>,
    /// The sessions that the tormentor has aimed at.
    pub struck: HashSet<u64>,
    /// Those of them that it has killed.
    pub ended: HashSet<u64>,
    /// How many `KILL` it has sent.
    pub kills: usize,
    pub killed: Vec<Killed>,
    pub gone: Vec<Gone>,
    pub given_up: Vec<GivenUp>,
    /// What was found while it ran.
    pub found: Vec<Violation>,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, section, name, connection, kind, weight } = self;
        write!(
            f,
            "events {id}: {kind} `{name}` ({weight} of {}), connection {connection}, {}",
            capacity(name),
            SectionId(*section)
        )
    }
}

impl fmt::Display for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, section, name, found, value } = self;
        write!(f, "writes {id}: `{name}` from {found} to {value}, {}", SectionId(*section))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { section, connection, timeout, waited, outcome, alone, .. } = self;
        let timeout = timeout.map_or_else(|| "no timeout".to_owned(), |timeout| format!("timeout {timeout:?}"));
        let connection = connection.map_or_else(|| "?".to_owned(), |id| id.to_string());
        let alone = if *alone { ", told that it was alone" } else { "" };
        write!(f, "{section}, connection {connection}: {outcome:?}{alone}; waited {waited:?}, {timeout}")
    }
}
