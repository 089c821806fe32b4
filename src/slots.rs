//! The locks that permits and shared locks are made of: a turnstile, and the slots behind it.

use std::{iter, sync::Arc};

use crate::{family::Member, name::LockName, names::Names};

/// The locks of a family, and how many of its slots a section acquires.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Slots {
    pub(crate) family: LockName,
    /// The turnstile, then the slots.
    names: Arc<[LockName]>,
    pub(crate) wanted: Wanted,
    /// The slot after the last one, which only a program with a larger number of slots acquires.
    pub(crate) beyond: LockName,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Wanted {
    /// This many slots, any of them. The turnstile is released.
    Some(usize),
    /// The turnstile and every slot.
    All,
}

impl Slots {
    /// `family` must leave room for what its members add.
    pub(crate) fn new(family: LockName, count: u32, wanted: Wanted) -> Self {
        let members = iter::once(Member::Turnstile).chain((1..=count).map(Member::Slot));
        let names = members.map(|member| member.name_in(&family)).collect();
        let beyond = Member::Slot(count + 1).name_in(&family);
        Self { family, names, wanted, beyond }
    }

    pub(crate) fn turnstile(&self) -> &LockName {
        &self.names[0]
    }

    /// Slot 1 comes first.
    pub(crate) fn slots(&self) -> &[LockName] {
        &self.names[1..]
    }

    /// The turnstile, then the slots.
    pub(crate) fn all(&self) -> &[LockName] {
        &self.names
    }

    /// The same as names of one section, in the order in which it acquires them.
    pub(crate) fn all_names(&self) -> Names {
        Names::Several(self.names.clone())
    }
}
