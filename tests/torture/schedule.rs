//! Which fault comes when, and whom it strikes: all of it from the seed.

use std::{fmt, time::Duration};

use fastrand::Rng;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fault {
    KillConnection(Aim),
    KillQuery(Aim),
    /// Some `KILL QUERY` with pauses, so that each hits another statement of the same session.
    Burst(Aim),
    /// `KILL QUERY` so often in a row, to hit a moment that is short.
    Rain(Aim),
    /// `KILL QUERY` of the waiters at the very moment when one of them is granted the lock: it may hold the lock then.
    Grant,
    KillWorker,
    StopWorker,
    StopServer,
}

/// Which sessions a fault is for. If there is none at the moment, it strikes any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Aim {
    Any,
    Busy,
    Waiter,
    Holder,
}

#[derive(Debug, Clone, Copy)]
pub struct Planned {
    /// After the one before.
    pub after: Duration,
    pub fault: Fault,
    /// The victim's place among those there are; the remainder counts.
    pub victim: usize,
    /// For how long, if that matters.
    pub time: Duration,
    /// How many strikes make a burst.
    pub strikes: usize,
    /// At most, between two of them.
    pub gap: Duration,
}

/// What a tormentor may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Means {
    None,
    /// Only `KILL QUERY`, and plenty of it.
    Queries,
    All,
}

pub struct Schedule {
    rng: Rng,
    means: Means,
    /// The mean time between two faults.
    pace: Duration,
}

impl Schedule {
    pub fn new(seed: u64, means: Means, pace: Duration) -> Self {
        Self { rng: Rng::with_seed(seed), means, pace }
    }

    pub fn next_fault(&mut self) -> Planned {
        Planned {
            after: self.pace.mul_f64(2.0 * self.rng.f64()),
            fault: self.fault(),
            victim: self.rng.u16(..).into(),
            time: Duration::from_millis(match self.rng.u32(..10) {
                0 => self.rng.u64(300..1_200),
                _ => self.rng.u64(5..150),
            }),
            strikes: self.rng.usize(2..=9),
            gap: Duration::from_micros(self.rng.u64(..400)),
        }
    }

    fn fault(&mut self) -> Fault {
        let places = if self.means == Means::All { 0..100 } else { 10..60 };
        let place = self.rng.u32(places);
        let aim = [Aim::Any, Aim::Busy, Aim::Waiter, Aim::Holder][self.rng.usize(..4)];
        match place {
            0..10 => Fault::KillQuery(aim),
            10..25 => Fault::Burst(aim),
            25..40 => Fault::Rain(aim),
            40..60 => Fault::Grant,
            60..94 => Fault::KillConnection(aim),
            94..96 => Fault::KillWorker,
            96..98 => Fault::StopWorker,
            _ => Fault::StopServer,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KillConnection(aim) => write!(f, "KILL CONNECTION of {aim}"),
            Self::KillQuery(aim) => write!(f, "KILL QUERY of {aim}"),
            Self::Burst(aim) => write!(f, "burst of KILL QUERY on {aim}"),
            Self::Rain(aim) => write!(f, "rain of KILL QUERY on {aim}"),
            Self::Grant => write!(f, "KILL QUERY at the moment of a grant"),
            Self::KillWorker => write!(f, "kill -9 of a worker"),
            Self::StopWorker => write!(f, "SIGSTOP of a worker"),
            Self::StopServer => write!(f, "SIGSTOP of the server"),
        }
    }
}

impl fmt::Display for Aim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any => "any session",
            Self::Busy => "one at a statement",
            Self::Waiter => "a waiter",
            Self::Holder => "a holder",
        })
    }
}
