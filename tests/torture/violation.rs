//! What must not happen.

use std::fmt;

use clap::ValueEnum;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, ValueEnum)]
pub enum Kind {
    /// More sections over one lock ran at the same time than may: two, or more than there are permits.
    Overlap,
    /// A section was told that it was alone, and was not.
    FalseOk,
    /// An update was overwritten by somebody who had not seen it, or is not there although its section was `Ok`.
    LostUpdate,
    /// A session that runs no section holds a lock, a slot or a turnstile.
    Leak,
    /// A waiter was not woken long after its timeout, or a worker did not come to an end.
    NeverWoken,
    /// A waiter was told "not free in time" before its time.
    TooEarly,
    /// A section failed on a session that nobody had harmed.
    Unprovoked,
    /// A session was killed or closed although nothing but `KILL QUERY` had struck it.
    HealthyKilled,
    /// Something else that no section may do: panic by itself, say.
    Impossible,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub kind: Kind,
    pub what: String,
    /// The evidence.
    pub rows: Vec<String>,
}

impl Violation {
    pub fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), rows: Vec::new() }
    }

    pub fn with(mut self, row: impl fmt::Display) -> Self {
        self.rows.push(row.to_string());
        self
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.what)?;
        self.rows.iter().try_for_each(|row| write!(f, "\n    {row}"))
    }
}
