//! What a worker tells the parent: lines on its standard output.
//!
//! A pipe keeps what was written into it even when the writer is killed, so what a caller has learned is not lost.

use std::{
    fmt,
    io::{self, Write as _},
    str::SplitAsciiWhitespace,
    time::Duration,
};

use clap::ValueEnum;

use crate::{
    history::{GivenUp, Killed, Outcome, Report, SectionId},
    violation::{Kind, Violation},
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    Section(Report),
    /// A session has begun.
    Opened(u64),
    /// A session is about to be killed from within.
    Killed(Killed),
    GivenUp(GivenUp),
    /// A thread has got its lock from another one of its process.
    HandedOff,
    /// All threads have stopped, and every connection is in the pool.
    Idle,
    Violation(Violation),
}

impl Message {
    pub fn send(&self) {
        // In one piece. A parent that is gone is noticed at the end of the standard input.
        let _ = io::stdout().lock().write_all(format!("{self}\n").as_bytes());
    }

    /// `None` for a line that is not whole.
    pub fn read(line: &str) -> Option<Self> {
        let (what, rest) = line.split_once(' ').unwrap_or((line, ""));
        match what {
            "section" => read_report(rest.split_ascii_whitespace()).map(Self::Section),
            "opened" => rest.parse().ok().map(Self::Opened),
            "killed" => read_killed(rest).map(Self::Killed),
            "given-up" => read_given_up(rest).map(Self::GivenUp),
            "handed-off" => Some(Self::HandedOff),
            "idle" => Some(Self::Idle),
            "violation" => {
                let (kind, what) = rest.split_once(' ')?;
                Some(Self::Violation(Violation::new(Kind::from_str(kind, false).ok()?, what)))
            }
            _ => None,
        }
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Section(Report {
                section,
                connection,
                in_turn,
                by_guard,
                updates,
                timeout,
                waited,
                outcome,
                alone,
                within,
            }) => {
                write!(
                    f,
                    "section {} {} {in_turn} {by_guard} {updates} {} {} {} {alone} {within}",
                    section.0,
                    connection.map_or_else(|| "-".to_owned(), |id| id.to_string()),
                    timeout.map_or_else(|| "-".to_owned(), |timeout| timeout.as_micros().to_string()),
                    waited.as_micros(),
                    word(outcome)
                )
            }
            Self::Opened(connection) => write!(f, "opened {connection}"),
            Self::Killed(Killed { connection, at_grant, last }) => {
                let last: Vec<String> = last.iter().map(|text| text.replace(['\n', '\t'], " ")).collect();
                write!(f, "killed {connection} {at_grant} {}", last.join("\t"))
            }
            Self::GivenUp(GivenUp { connection, free_after }) => {
                write!(f, "given-up {connection} {}", free_after.as_micros())
            }
            Self::HandedOff => write!(f, "handed-off"),
            Self::Idle => write!(f, "idle"),
            Self::Violation(Violation { kind, what, .. }) => {
                write!(f, "violation {} {}", word(kind), what.replace('\n', " / "))
            }
        }
    }
}

fn read_killed(rest: &str) -> Option<Killed> {
    let (connection, rest) = rest.split_once(' ')?;
    let (at_grant, last) = rest.split_once(' ')?;
    let last = last.split('\t').map(str::to_owned).collect();
    Some(Killed { connection: connection.parse().ok()?, at_grant: at_grant.parse().ok()?, last })
}

fn read_given_up(rest: &str) -> Option<GivenUp> {
    let (connection, micros) = rest.split_once(' ')?;
    Some(GivenUp { connection: connection.parse().ok()?, free_after: Duration::from_micros(micros.parse().ok()?) })
}

fn read_report(mut words: SplitAsciiWhitespace<'_>) -> Option<Report> {
    Some(Report {
        section: SectionId(words.next()?.parse().ok()?),
        connection: words.next()?.parse().ok(),
        in_turn: words.next()?.parse().ok()?,
        by_guard: words.next()?.parse().ok()?,
        updates: words.next()?.parse().ok()?,
        timeout: words.next()?.parse().ok().map(Duration::from_micros),
        waited: Duration::from_micros(words.next()?.parse().ok()?),
        outcome: Outcome::from_str(words.next()?, false).ok()?,
        alone: words.next()?.parse().ok()?,
        within: words.next()?.parse().ok()?,
    })
}

/// The word for a value on a command line and in a message.
pub fn word(value: &impl ValueEnum) -> String {
    value.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}
