//! What a stage's lock is: a named lock, or one that is made of several.

use std::iter;

use diesel_named_lock::{
    NamedLock,
    permits::{Permits, SharedLock},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Named,
    /// The only permit.
    Permit,
    /// A lock that can be shared, held alone.
    Exclusive,
}

const KINDS: [Kind; 3] = [Kind::Named, Kind::Permit, Kind::Exclusive];

impl Kind {
    /// For the command line of a child.
    pub fn word(self) -> String {
        format!("{self:?}")
    }

    pub fn from_word(word: &str) -> Option<Self> {
        KINDS.into_iter().find(|kind| kind.word() == word)
    }

    pub fn lock(self, name: &str) -> NamedLock {
        match self {
            Self::Named => NamedLock::new(name).expect("a valid name"),
            Self::Permit => Permits::new(name, 1).expect("a valid name").permit(),
            Self::Exclusive => SharedLock::new(name).expect("a valid name").exclusive(),
        }
    }

    /// The lock of a section that waits behind one which waits for this lock.
    pub fn lock_behind(self, name: &str) -> NamedLock {
        match self {
            Self::Named | Self::Permit => self.lock(name),
            Self::Exclusive => SharedLock::new(name).expect("a valid name").shared(),
        }
    }

    /// The server's lock that the section holds, and that others wait for if they are first in line.
    pub fn held(self, name: &str) -> String {
        match self {
            Self::Named => name.to_owned(),
            Self::Permit => format!("{name}:permit#1"),
            Self::Exclusive => format!("{name}:shared#1"),
        }
    }

    /// The server's lock that the section holds while it is first in line.
    pub fn turnstile(self, name: &str) -> Option<String> {
        match self {
            Self::Named => None,
            Self::Permit => Some(format!("{name}:permit#wait")),
            Self::Exclusive => Some(format!("{name}:shared#wait")),
        }
    }

    /// All of the server's locks that this one is made of.
    pub fn all(self, name: &str) -> Vec<String> {
        let others = match self {
            Self::Named | Self::Permit => 1..1,
            Self::Exclusive => 1..SharedLock::MAX_SHARED,
        };
        let others = others.map(|number| format!("{name}:shared#{}", number + 1));
        self.turnstile(name).into_iter().chain(iter::once(self.held(name))).chain(others).collect()
    }
}
