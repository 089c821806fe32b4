//! What a section is over: named locks, permits, or a lock that is shared or exclusive.

use std::{iter, sync::LazyLock};

use diesel_named_lock::{
    NamedLock, NamedLockError,
    permits::{Permits, SharedLock},
};

use crate::tables::NAMES;

/// Permits, and their number: so few that sections wait for them.
pub const PERMITS: [(&str, u32); 2] = [("torture:two", 2), ("torture:three", 3)];

/// A lock that is shared or exclusive.
pub const SHARED: &str = "torture:shared";

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// All of these [`NAMES`], in no order.
    Locks(Vec<&'static str>),
    /// So many of these [`PERMITS`].
    Permits {
        name: &'static str,
        wanted: u32,
    },
    Shared,
    Exclusive,
}

/// How much of a lock a section holds, out of its [`capacity`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    pub name: &'static str,
    pub weight: u32,
}

/// How much of a lock can be held at once.
pub fn capacity(name: &str) -> u32 {
    let permits = PERMITS.iter().find(|(permits, _)| *permits == name).map(|(_, count)| *count);
    permits.unwrap_or(if name == SHARED { SharedLock::MAX_SHARED } else { 1 })
}

impl Share {
    pub fn all_of(name: &'static str) -> Self {
        Self { name, weight: capacity(name) }
    }
}

impl Subject {
    pub fn lock(&self) -> Result<NamedLock, NamedLockError> {
        match self {
            Self::Locks(names) => match names[..] {
                [name] => NamedLock::new(name),
                _ => NamedLock::all_of(names.iter().copied()),
            },
            Self::Permits { name, wanted: 1 } => Ok(Permits::new(*name, capacity(name))?.permit()),
            Self::Permits { name, wanted } => Ok(Permits::new(*name, capacity(name))?.permits(*wanted)?),
            Self::Shared => Ok(SharedLock::new(SHARED)?.shared()),
            Self::Exclusive => Ok(SharedLock::new(SHARED)?.exclusive()),
        }
    }

    pub fn shares(&self) -> Vec<Share> {
        match self {
            Self::Locks(names) => names.iter().copied().map(Share::all_of).collect(),
            Self::Permits { name, wanted } => vec![Share { name, weight: *wanted }],
            Self::Shared => vec![Share { name: SHARED, weight: 1 }],
            Self::Exclusive => vec![Share::all_of(SHARED)],
        }
    }

    /// The counters that nobody else changes: of those that it has alone.
    pub fn counters(&self) -> Vec<&'static str> {
        match self {
            Self::Locks(names) => names.clone(),
            Self::Permits { .. } | Self::Shared => Vec::new(),
            Self::Exclusive => vec![SHARED],
        }
    }

    /// Whether both are over the same lock, or one of them.
    pub fn meets(&self, other: &Self) -> bool {
        let others = other.shares();
        self.shares().iter().any(|share| others.iter().any(|other| other.name == share.name))
    }

    /// The [kinds](kind) of the locks that its session holds, in alphabetical order.
    pub fn kinds(&self) -> Vec<&'static str> {
        let mut kinds = match self {
            Self::Locks(names) => names.clone(),
            Self::Permits { wanted, .. } => vec![kind(&self.family()[1]); *wanted as usize],
            Self::Shared => vec![kind(&self.family()[1])],
            Self::Exclusive => self.family().iter().map(|lock| kind(lock)).collect(),
        };
        kinds.sort_unstable();
        kinds
    }

    /// The turnstile and the slots behind it. Empty if it is over named locks.
    pub fn family(&self) -> &'static [String] {
        let name = match self {
            Self::Locks(_) => return &[],
            Self::Permits { name, .. } => name,
            Self::Shared | Self::Exclusive => SHARED,
        };
        let place = FAMILIES.iter().position(|family| family[0].starts_with(name)).expect("one of the families");
        &FAMILIES[place]
    }
}

/// Of a slot, the name without its number: a section may have any of them.
pub fn kind(lock: &str) -> &str {
    match lock.rsplit_once('#') {
        None | Some((_, "wait")) => lock,
        Some((family, _)) => family,
    }
}

static FAMILIES: LazyLock<Vec<Vec<String>>> = LazyLock::new(|| {
    let permits = PERMITS.map(|(name, count)| family(&format!("{name}:permit"), count));
    permits.into_iter().chain([family(&format!("{SHARED}:shared"), SharedLock::MAX_SHARED)]).collect()
});

fn family(name: &str, count: u32) -> Vec<String> {
    let slots = (1..=count).map(|slot| format!("{name}#{slot}"));
    iter::once(format!("{name}#wait")).chain(slots).collect()
}

/// Every lock of the server that a section may hold.
pub fn all_locks() -> impl Iterator<Item = &'static str> {
    NAMES.into_iter().chain(FAMILIES.iter().flatten().map(String::as_str))
}

/// Those that are held often.
pub fn busy_locks() -> Vec<&'static str> {
    let busiest = |family: &'static Vec<String>| family.iter().take(4).map(String::as_str);
    NAMES.into_iter().chain(FAMILIES.iter().flat_map(busiest)).collect()
}
