//! The locks of a server, with those of permits and of shared locks put together.

use std::{collections::BTreeMap, fmt, time::Duration};

use super::named_locks::{LockState, NamedLocks};
use crate::{
    family::{FamilyKind, Member, read_lock_name},
    holder::SessionInfo,
    name::LockName,
    permits::SharedLock,
};

/// The named locks of a server, with those of each [`Permits`](crate::permits::Permits) and each [`SharedLock`] put together. Returned by
/// [`NamedLocks::grouped`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct GroupedLocks {
    /// The other locks, in the order of [`NamedLocks::locks`].
    pub locks: Vec<LockState>,
    /// Permits and shared locks, by name.
    pub families: Vec<LockFamily>,
    /// Sessions that wait for a named lock, if the server does not say for which one. Those that are
    /// [first in line](LockFamily::first_in_line) are not among them.
    pub unassigned_waiters: Vec<SessionInfo>,
}

/// The permits of one name, or one shared lock, with the sessions that hold them and wait for them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LockFamily {
    /// The name that [`Permits::new`](crate::permits::Permits::new) or [`SharedLock::new`] got, such as `mail`. MySQL lists it in lower case.
    pub name: LockName,
    /// What it is.
    pub kind: FamilyKind,
    /// The sessions that hold permits, or the lock. The holder of the lowest number comes first.
    pub holders: Vec<FamilyHolder>,
    /// The session whose turn it is. It waits for those in `holders`, and may have some of the permits that it wants. So may a session that
    /// wants a shared lock exclusively.
    pub first_in_line: Option<FamilyHolder>,
    /// The sessions that wait behind it, in the order in which they came. On MariaDB without the Performance Schema, they are in
    /// [`GroupedLocks::unassigned_waiters`].
    pub waiters: Vec<SessionInfo>,
}

/// A session that holds locks of a [`LockFamily`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FamilyHolder {
    /// The session.
    pub session: SessionInfo,
    /// One of the server's locks that it holds, such as `mail:permit#2`, for [`break_lock`](fn@crate::operator::break_lock). If it is first
    /// in line or holds all of them, that is the turnstile, such as `mail:permit#wait`.
    pub lock: LockName,
    /// The numbers of its permits, or of its places in a shared lock, starting at 1. Number 2 is the server's lock `mail:permit#2`.
    pub numbers: Vec<u32>,
    /// Whether it holds a shared lock exclusively.
    pub is_exclusive: bool,
    /// For how long it has held all of this. `None` if the server does not say: see [`LockState::held_for`].
    pub held_for: Option<Duration>,
}

impl NamedLocks {
    /// Returns the same list, with the locks of each [`Permits`](crate::permits::Permits) and each [`SharedLock`] put together.
    ///
    /// In [`locks`](Self::locks), each permit that is held is a lock, and an exclusive section holds 65. The text (`{}`) of [`NamedLocks`] is
    /// grouped, too.
    ///
    /// ```no_run
    /// # use diesel::MysqlConnection;
    /// use diesel_named_lock::operator::{OperatorError, named_locks};
    ///
    /// # fn show(conn: &mut MysqlConnection) -> Result<(), OperatorError> {
    /// for family in named_locks(conn)?.grouped().families {
    ///     println!("{} `{}`: held by {} sessions", family.kind, family.name, family.holders.len());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # What it does not promise
    ///
    /// * A lock is known by its name only. If another program has named a lock `mail:permit#2`, it is shown as a permit.
    /// * The server does not know how many permits there are. Only those that are held are listed.
    #[must_use]
    pub fn grouped(&self) -> GroupedLocks {
        let mut locks = Vec::new();
        let mut members: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for lock in &self.locks {
            match read_lock_name(&lock.name) {
                Some((name, kind, member)) => members.entry((name, kind)).or_default().push((member, lock)),
                None => locks.push(lock.clone()),
            }
        }
        let families: Vec<_> = members.into_iter().map(|((name, kind), members)| family(name, kind, members)).collect();
        let is_first = |waiter: &&SessionInfo| families.iter().any(|family| family.is_first(waiter));
        let unassigned_waiters = self.unassigned_waiters.iter().filter(|waiter| !is_first(waiter)).cloned().collect();
        GroupedLocks { locks, families, unassigned_waiters }
    }
}

fn family(name: LockName, kind: FamilyKind, mut members: Vec<(Member, &LockState)>) -> LockFamily {
    // The turnstile comes first, and so does the session that holds it.
    members.sort_by_key(|(member, _)| *member);
    let mut holders: Vec<FamilyHolder> = Vec::new();
    for (member, lock) in &members {
        let Some(session) = &lock.holder else { continue };
        let known = holders.iter().position(|holder| holder.session.connection_id == session.connection_id);
        let index = known.unwrap_or(holders.len());
        if known.is_none() {
            let (session, lock_name) = (session.clone(), member.name_in(&kind.family(&name)));
            let (numbers, held_for) = (Vec::new(), lock.held_for);
            holders.push(FamilyHolder { session, lock: lock_name, numbers, is_exclusive: false, held_for });
        }
        let holder = &mut holders[index];
        holder.numbers.extend(member.number());
        holder.held_for = holder.held_for.min(lock.held_for);
    }
    let has_turn = matches!(members.first(), Some((Member::Turnstile, LockState { holder: Some(_), .. })));
    let is_exclusive =
        has_turn && kind == FamilyKind::Shared && holders[0].numbers.len() == SharedLock::MAX_SHARED as usize;
    let first_in_line = (has_turn && !is_exclusive).then(|| holders.remove(0));
    if is_exclusive {
        holders[0].is_exclusive = true;
    }
    let mut family = LockFamily { name, kind, holders, first_in_line, waiters: Vec::new() };
    let waiters = members.iter().flat_map(|(_, lock)| &lock.waiters);
    family.waiters = waiters.filter(|waiter| !family.is_first(waiter)).cloned().collect();
    family
}

impl LockFamily {
    fn is_first(&self, session: &SessionInfo) -> bool {
        self.first_in_line.as_ref().is_some_and(|first| first.session.connection_id == session.connection_id)
    }
}

impl fmt::Display for GroupedLocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let locks = self.locks.iter().map(ToString::to_string);
        let families = self.families.iter().map(ToString::to_string);
        let waiters = self.unassigned_waiters.iter().map(|waiter| format!("some named lock: awaited by {waiter}"));
        let lines: Vec<_> = locks.chain(families).chain(waiters).collect();
        match lines.as_slice() {
            [] => f.write_str("no named lock is held"),
            lines => f.write_str(&lines.join("\n")),
        }
    }
}

impl fmt::Display for LockFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}`:", self.kind, self.name)?;
        for holder in &self.holders {
            match holder.is_exclusive {
                true => write!(f, "\n  held exclusively by {}", holder.session)?,
                false => write!(f, "\n  {} held by {}", list(&holder.numbers), holder.session)?,
            }
            if let Some(time) = holder.held_for {
                write!(f, ", for {}s", time.as_secs())?;
            }
        }
        if let Some(first) = &self.first_in_line {
            write!(f, "\n  first in line: {}", first.session)?;
            if !first.numbers.is_empty() {
                write!(f, ", holds {}", list(&first.numbers))?;
            }
        }
        self.waiters.iter().try_for_each(|waiter| write!(f, "\n  awaited by {waiter}"))
    }
}

/// `#1, #2`.
fn list(numbers: &[u32]) -> String {
    numbers.iter().map(|number| format!("#{number}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(id: u64) -> SessionInfo {
        SessionInfo::new(id.into())
    }

    fn lock(name: &str, holder: impl Into<Option<u64>>, waiters: &[u64]) -> LockState {
        let (holder, waiters) = (holder.into().map(session), waiters.iter().copied().map(session).collect());
        LockState { name: name.to_owned(), holder, held_for: None, waiters }
    }

    fn seen(locks: Vec<LockState>) -> NamedLocks {
        NamedLocks { locks, unassigned_waiters: Vec::new() }
    }

    fn text(locks: Vec<LockState>) -> String {
        seen(locks).grouped().to_string()
    }

    #[test]
    fn permits_are_grouped_by_session_in_the_order_of_their_numbers() {
        let locks = vec![
            lock("mail", 9, &[]),
            lock("mail:permit#10", 2, &[]),
            lock("mail:permit#2", 3, &[]),
            lock("mail:permit#3", 2, &[]),
            lock("mail:permit#x", 8, &[]),
        ];
        let expected = [
            "`mail`: held by connection 9",
            "`mail:permit#x`: held by connection 8",
            "permits `mail`:",
            "  #2 held by connection 3",
            "  #3, #10 held by connection 2",
        ];
        assert_eq!(text(locks), expected.join("\n"));
    }

    #[test]
    fn the_session_that_is_first_in_line_is_no_holder_whatever_it_has_so_far() {
        let locks = vec![
            lock("mail:permit#1", 1, &[]),
            lock("mail:permit#2", 3, &[]),
            lock("mail:permit#wait", 3, &[4, 5]),
            lock("index:shared#1", 1, &[6]),
            lock("index:shared#wait", 6, &[7]),
            lock("empty:shared#wait", None, &[8]),
        ];
        let expected = [
            "shared lock `empty`:",
            "  awaited by connection 8",
            "shared lock `index`:",
            "  #1 held by connection 1",
            "  first in line: connection 6",
            "  awaited by connection 7",
            "permits `mail`:",
            "  #1 held by connection 1",
            "  first in line: connection 3, holds #2",
            "  awaited by connection 4",
            "  awaited by connection 5",
        ];
        assert_eq!(text(locks), expected.join("\n"));
    }

    #[test]
    fn an_exclusive_holder_is_shown_once_and_one_that_lacks_a_lock_is_none() {
        let names = || (1..=64).map(|slot| slot.to_string()).chain(["wait".to_owned()]);
        let held = |count: usize| {
            let held = names().skip(65 - count).map(|member| format!("index:shared#{member}"));
            held.map(|name| lock(&name, 5, &[])).collect()
        };
        assert_eq!(text(held(65)), "shared lock `index`:\n  held exclusively by connection 5");
        let family = &seen(held(65)).grouped().families[0];
        assert_eq!((family.holders.len(), family.holders[0].lock.as_str()), (1, "index:shared#wait"));
        let family = &seen(held(64)).grouped().families[0];
        assert_eq!(
            (family.holders.len(), family.first_in_line.as_ref().map(|first| first.is_exclusive)),
            (0, Some(false))
        );
    }

    #[test]
    fn a_waiter_that_is_first_in_line_is_not_listed_apart_too() {
        let unassigned_waiters = vec![session(3), session(4)];
        let seen = NamedLocks { locks: vec![lock("mail:permit#wait", 3, &[])], unassigned_waiters };
        assert_eq!(seen.grouped().unassigned_waiters, [session(4)]);
        assert_eq!(seen.to_string(), seen.grouped().to_string());
    }

    #[test]
    fn permits_have_been_held_since_the_last_of_them_was_acquired() {
        let since = |seconds| Some(Duration::from_secs(seconds));
        let held = |name, held_for| LockState { held_for, ..lock(name, 1, &[]) };
        let both = [("mail:permit#1", since(7)), ("mail:permit#2", since(5))].map(|(name, time)| held(name, time));
        assert_eq!(text(both.to_vec()), "permits `mail`:\n  #1, #2 held by connection 1, for 5s");
    }
}
