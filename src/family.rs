//! The names of the locks that permits and shared locks are made of, such as `mail:permit#2`, `mail:permit#wait` and `index:shared#1`.

use std::fmt;

use crate::name::{LockName, count_chars};

/// The largest number of slots.
pub(crate) const MAX_SLOTS: u32 = 64;

/// The largest number of characters of the name of a family, such as `mail`.
pub(crate) const MAX_NAME_CHARS: usize = LockName::MAX_CHARS - PERMIT.len() - "#".len() - TURNSTILE.len();

const PERMIT: &str = ":permit";
/// As long as [`PERMIT`], so that the names of both may be as long.
const SHARED: &str = ":shared";

/// The longest of what follows `#`.
const TURNSTILE: &str = "wait";

/// A kind of locks that are made of several of the server's locks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum FamilyKind {
    /// [`Permits`](crate::permits::Permits).
    Permits,
    /// A [`SharedLock`](crate::permits::SharedLock).
    Shared,
}

impl FamilyKind {
    /// The name to which the [members](Member) add theirs. `name` must be short.
    pub(crate) fn family(self, name: &LockName) -> LockName {
        LockName::new(format!("{name}{}", self.suffix())).expect("a short name leaves room for its kind")
    }

    fn suffix(self) -> &'static str {
        match self {
            Self::Permits => PERMIT,
            Self::Shared => SHARED,
        }
    }
}

impl fmt::Display for FamilyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Permits => "permits",
            Self::Shared => "shared lock",
        })
    }
}

/// One of the locks of a family. The turnstile comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Member {
    Turnstile,
    /// 1 is the first one.
    Slot(u32),
}

impl Member {
    pub(crate) fn name_in(self, family: &LockName) -> LockName {
        let name = match self {
            Self::Turnstile => format!("{family}#{TURNSTILE}"),
            Self::Slot(slot) => format!("{family}#{slot}"),
        };
        LockName::new(name).expect("a family's name leaves room for its suffix")
    }

    /// The number of a slot.
    pub(crate) fn number(self) -> Option<u32> {
        match self {
            Self::Turnstile => None,
            Self::Slot(number) => Some(number),
        }
    }
}

/// Reads what [`Member::name_in`] has written, also in the lower case of MySQL's lists. `None` if the lock is of no family.
pub(crate) fn read_lock_name(lock: &str) -> Option<(LockName, FamilyKind, Member)> {
    let (family, member) = lock.rsplit_once('#')?;
    let member = match member {
        TURNSTILE => Member::Turnstile,
        // Not `+1` or `01`, which nothing here has written.
        number => Member::Slot((1..=MAX_SLOTS).find(|slot| slot.to_string() == number)?),
    };
    let mut kinds = [FamilyKind::Permits, FamilyKind::Shared].into_iter();
    let (name, kind) = kinds.find_map(|kind| Some((family.strip_suffix(kind.suffix())?, kind)))?;
    let name = LockName::new(name).ok()?;
    (count_chars(name.as_str()) <= MAX_NAME_CHARS).then_some((name, kind, member))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_name() -> impl Strategy<Value = LockName> {
        // With the signs of the grammar, also at its end.
        let text = prop_oneof!["[a-zA-Z0-9:#äß ]{1,52}", "[a:#]{1,20}(:permit|:shared)(#1|#wait)?"];
        text.prop_map(|text| LockName::new(text).unwrap())
    }

    fn any_kind() -> impl Strategy<Value = FamilyKind> {
        prop_oneof![Just(FamilyKind::Permits), Just(FamilyKind::Shared)]
    }

    fn any_member() -> impl Strategy<Value = Member> {
        prop_oneof![Just(Member::Turnstile), (1..=MAX_SLOTS).prop_map(Member::Slot)]
    }

    proptest! {
        #[test]
        fn the_name_of_each_lock_is_read_as_it_was_written(name in any_name(), kind in any_kind(), member in any_member()) {
            let lock = member.name_in(&kind.family(&name));
            prop_assert_eq!(read_lock_name(lock.as_str()), Some((name.clone(), kind, member)));
            // MySQL.
            let lower = LockName::new(name.as_str().to_lowercase()).unwrap();
            prop_assert_eq!(read_lock_name(&lock.as_str().to_lowercase()), Some((lower, kind, member)));
        }

        #[test]
        fn what_is_read_is_what_would_be_written(lock in "[a:#]{0,3}(:permit|:shared|:Permit)?#?(wait|[+0-9]{1,3}|x)?") {
            if let Some((name, kind, member)) = read_lock_name(&lock) {
                prop_assert_eq!(member.name_in(&kind.family(&name)), LockName::new(&lock).unwrap());
            }
        }
    }

    #[test]
    fn a_lock_that_only_looks_similar_is_not_read() {
        let long = format!("{}:permit#1", "x".repeat(53));
        let others = [
            "order#1",
            "a:permit",
            "a:permit#",
            "a:permit#x",
            "a:permit#0",
            "a:permit#01",
            "a:permit#+1",
            "a:permit#65",
            "a:permit#-1",
            "a:permit#4294967297",
            "a:permit#Wait",
            "a:Permit#1",
            "a:permits#1",
            "a:permit#1 ",
            "a:permit#1#",
            "permit#1",
            ":permit#1",
            ":shared#wait",
            "a\u{1F600}:permit#1",
            "",
            "#",
            &long,
        ];
        for other in others {
            assert_eq!(read_lock_name(other), None, "{other:?}");
        }
    }
}
