//! Which sections a thread runs: drawn from its seed.

use std::time::Duration;

use fastrand::Rng;

use crate::{
    subject::{PERMITS, Subject, capacity},
    tables::{NAMES, SECTIONS},
    worker::Orders,
};

/// One section, with what happens inside.
#[derive(Debug, Clone)]
pub struct Plan {
    pub number: u32,
    pub subject: Subject,
    /// `None`: for ever.
    pub timeout: Option<Duration>,
    pub reentrant: bool,
    /// The work is inside a transaction.
    pub transaction: bool,
    /// The work opens a transaction, or a savepoint, and leaves it open.
    pub leaves_open: bool,
    /// Between reading and writing.
    pub dawdle: Option<Duration>,
    pub end: End,
    pub inner: Option<Box<Plan>>,
    /// A panic of the inner section ends there.
    pub catches: bool,
    /// It is inside of another section over one of its locks.
    pub within: bool,
    /// It is inside of another section, and queues for a connection of its own, if its thread queues at all.
    pub apart: bool,
    /// A thread runs it by a guard instead of a closure.
    pub guarded: Option<Guarded>,
}

/// A guard, which goes to another thread for its work.
#[derive(Debug, Clone, Copy)]
pub struct Guarded {
    /// Before, it is watched for so long.
    pub watched: Option<Duration>,
}

/// How a task comes to its section, and what becomes of its future.
#[derive(Debug, Clone, Copy)]
pub struct Manner {
    /// On a connection of deadpool instead of bb8.
    pub deadpool: bool,
    /// Through a `NamedLockPool`.
    pub in_turn: bool,
    /// By a guard instead of a closure.
    pub guard: bool,
    pub dropped: Option<Moment>,
    /// It is dropped outside a runtime.
    pub outside: bool,
}

/// When a future is dropped.
#[derive(Debug, Clone, Copy)]
pub enum Moment {
    /// As it waits for the so-manieth time, from 0.
    Wait(u32),
    After(Duration),
}

/// How the work ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Ok,
    Err,
    Panic,
}

pub struct Planner {
    rng: Rng,
    number: u32,
    /// No timeout is longer than this, and none is endless.
    hasty: bool,
    /// So many of a hundred sections are over permits, or over a lock that is shared or exclusive.
    over_permits: u32,
}

const HASTY: Duration = Duration::from_millis(300);
const BRIEF: Duration = Duration::from_millis(20);

impl Planner {
    pub fn new(orders: &Orders, thread: u8) -> Self {
        let Orders { seed, process, life, locking, hasty, .. } = *orders;
        // Spread, so that neighbours draw different numbers.
        let own = (u64::from(process) << 32 | u64::from(life) << 16 | u64::from(thread)).wrapping_add(1);
        let over_permits = if locking.is_of_permits() { 90 } else { 25 };
        Self { rng: Rng::with_seed(seed ^ own.wrapping_mul(0x9e37_79b9_7f4a_7c15)), number: 0, hasty, over_permits }
    }

    pub fn next_plan(&mut self) -> Plan {
        let subject = match self.chance(self.over_permits) {
            true => self.family(),
            false if self.chance(80) => Subject::Locks(vec![self.lock()]),
            false => Subject::Locks(self.several()),
        };
        let mut plan = self.section_over(subject);
        plan.guarded = self.chance(25).then(|| self.guarded());
        if self.chance(30) {
            plan.inner = Some(Box::new(self.inner_of(&plan)));
        }
        plan
    }

    pub fn next_manner(&mut self) -> Manner {
        let (deadpool, in_turn, guard, outside) = (self.chance(50), self.chance(50), self.chance(30), self.chance(25));
        let dropped = match self.rng.u32(..100) {
            0..12 => Some(Moment::Wait(self.rng.u32(..30))),
            12..20 => Some(Moment::After(Duration::from_micros(self.rng.u64(..20_000)))),
            _ => None,
        };
        Manner { deadpool, in_turn, guard, dropped, outside }
    }

    /// Now and then, a thread does something else between two sections.
    pub fn pause(&mut self) -> Option<Duration> {
        self.chance(20).then(|| Duration::from_micros(self.rng.u64(..2_000)))
    }

    fn section_over(&mut self, subject: Subject) -> Plan {
        self.number += 1;
        // Otherwise those that need not be alone would hardly ever meet.
        let lasts = !matches!(subject, Subject::Locks(_)) || self.chance(40);
        Plan {
            number: self.number,
            subject,
            timeout: self.timeout(),
            reentrant: self.chance(10),
            transaction: self.chance(40),
            leaves_open: self.chance(6),
            dawdle: lasts.then(|| Duration::from_micros(self.rng.u64(..1_500))),
            end: match self.rng.u32(..100) {
                0..8 => End::Err,
                8..16 => End::Panic,
                _ => End::Ok,
            },
            inner: None,
            catches: self.chance(50),
            within: false,
            apart: false,
            guarded: None,
        }
    }

    /// Over another lock, over the same one (re-entrant, or to be refused), or over the same and others. Inside a
    /// transaction each of them is to be refused.
    fn inner_of(&mut self, outer: &Plan) -> Plan {
        let subject = match (self.rng.u32(..4), &outer.subject) {
            (0, _) => self.family(),
            (1, subject) => subject.clone(),
            (2, Subject::Permits { name, .. }) => self.permits(name),
            (2, Subject::Shared | Subject::Exclusive) => self.shared_or_exclusive(),
            (kind, outer) => {
                let mut locks = self.several();
                locks.truncate(self.rng.usize(1..=locks.len()));
                if let (2, Subject::Locks(outer)) = (kind, outer) {
                    locks.retain(|lock| !outer.contains(lock));
                    locks.push(outer[0]);
                }
                Subject::Locks(locks)
            }
        };
        let mut plan = self.section_over(subject);
        plan.reentrant = self.chance(80);
        plan.within = plan.subject.meets(&outer.subject);
        // Who waits for a lock whose guard is elsewhere waits for its timeout.
        plan.apart = self.chance(20) && !(outer.guarded.is_some() && plan.within);
        if plan.apart {
            // Others may be in the same place, with all connections among them.
            plan.timeout = plan.timeout.map(|timeout| timeout.clamp(Duration::from_millis(1), HASTY)).or(Some(HASTY));
        }
        // The server finds no deadlock in which a session waits for a permit: it lasts for so long.
        if !matches!(plan.subject, Subject::Locks(_)) {
            plan.timeout = Some(plan.timeout.map_or(BRIEF, |timeout| timeout.min(BRIEF)));
        }
        plan
    }

    fn guarded(&mut self) -> Guarded {
        Guarded { watched: self.chance(50).then(|| Duration::from_micros(self.rng.u64(..3_000))) }
    }

    fn timeout(&mut self) -> Option<Duration> {
        let timeout = match self.rng.u32(..100) {
            0..10 => Some(Duration::ZERO),
            // As long as others hold the lock: it strikes at the moment of the grant.
            10..35 => Some(Duration::from_millis(self.rng.u64(1..=12))),
            35..45 => Some(Duration::from_millis(self.rng.u64(1..=900))),
            45..90 => Some(Duration::from_secs(self.rng.u64(1..=2))),
            _ => None,
        };
        if self.hasty { Some(timeout.map_or(HASTY, |timeout| timeout.min(HASTY))) } else { timeout }
    }

    fn lock(&mut self) -> &'static str {
        // The first is the busiest.
        NAMES[self.rng.usize(..SECTIONS).min(self.rng.usize(..SECTIONS))]
    }

    fn family(&mut self) -> Subject {
        match self.rng.usize(..=PERMITS.len()) {
            place if place < PERMITS.len() => self.permits(PERMITS[place].0),
            _ => self.shared_or_exclusive(),
        }
    }

    fn permits(&mut self, name: &'static str) -> Subject {
        let wanted = if self.chance(75) { 1 } else { self.rng.u32(1..=capacity(name)) };
        Subject::Permits { name, wanted }
    }

    fn shared_or_exclusive(&mut self) -> Subject {
        if self.chance(75) { Subject::Shared } else { Subject::Exclusive }
    }

    fn several(&mut self) -> Vec<&'static str> {
        let mut locks = NAMES[..SECTIONS].to_vec();
        self.rng.shuffle(&mut locks);
        locks.truncate(self.rng.usize(2..=3));
        locks
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.rng.u32(..100) < percent
    }
}
