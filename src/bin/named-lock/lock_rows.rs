//! The locks and their sessions in rows, the most contended first: for `list` and `top`.

use std::{cmp::Reverse, time::Duration};

use diesel_named_lock::{
    SessionInfo,
    operator::{FamilyHolder, FamilyKind, GroupedLocks, LockFamily, LockState},
};

use crate::output::{one_line, shown};

pub const HEADER: [&str; 7] = ["LOCK", "", "CONN", "USER", "HOST", "FOR", "STATEMENT"];

const HOLDING: [&str; 3] = ["holds", "shares", "exclusive"];

type Row = [String; 7];

pub fn contended_first(seen: &mut GroupedLocks) {
    // Stable, so by name among those with as many waiters.
    seen.locks.sort_by_key(|lock| Reverse(lock.waiters.len()));
    seen.families.sort_by_key(|family| Reverse(waiting(family)));
}

/// How many sessions wait.
pub fn waiting(family: &LockFamily) -> usize {
    family.waiters.len() + usize::from(family.first_in_line.is_some())
}

/// A row for each holder, with those who wait for its lock below.
pub fn rows(seen: &GroupedLocks) -> Vec<Row> {
    let locks = seen.locks.iter().map(|lock| (Reverse(lock.waiters.len()), of_lock(lock)));
    let families = seen.families.iter().map(|family| (Reverse(waiting(family)), of_family(family)));
    let mut all: Vec<_> = locks.chain(families).collect();
    // The rows of a lock begin with its name.
    all.sort();
    let rows = all.into_iter().flat_map(|(_, rows)| rows);
    rows.chain(seen.unassigned_waiters.iter().map(|waiter| row("?", "waits", waiter, None))).collect()
}

pub fn is_of_holder(row: &Row) -> bool {
    HOLDING.contains(&&*row[1])
}

fn of_lock(lock: &LockState) -> Vec<Row> {
    let name = shown(&lock.name);
    let of_holder = match &lock.holder {
        Some(holder) => row(&name, "holds", holder, lock.held_for),
        None => between_two_holders(&name),
    };
    std::iter::once(of_holder).chain(of_waiters(&lock.waiters)).collect()
}

/// Each holder has the name of a lock that it holds, for `break`.
fn of_family(family: &LockFamily) -> Vec<Row> {
    let of_holders = family.holders.iter().map(|holder| match (family.kind, holder.is_exclusive) {
        (_, true) => held(holder, "exclusive", 0),
        (FamilyKind::Shared, false) => held(holder, "shares", holder.numbers.len() - 1),
        _ => held(holder, "holds", holder.numbers.len() - 1),
    });
    let of_first = family.first_in_line.iter().map(|first| held(first, "first", first.numbers.len()));
    let mut rows: Vec<_> = of_holders.chain(of_first).collect();
    if rows.is_empty() {
        rows.push(between_two_holders(&shown(family.name.as_str())));
    }
    rows.extend(of_waiters(&family.waiters));
    rows
}

/// `others`: how many locks it holds besides the one that is named.
fn held(holder: &FamilyHolder, does: &str, others: usize) -> Row {
    let name = shown(holder.lock.as_str());
    let name = if others > 0 { format!("{name} +{others}") } else { name };
    row(&name, does, &holder.session, holder.held_for)
}

fn between_two_holders(name: &str) -> Row {
    [name, "free", "", "", "", "", "between two holders"].map(str::to_owned)
}

fn of_waiters(waiters: &[SessionInfo]) -> impl Iterator<Item = Row> {
    waiters.iter().map(|waiter| row("", "waits", waiter, None))
}

/// `held_for`: if the server tells.
fn row(lock: &str, does: &str, session: &SessionInfo, held_for: Option<Duration>) -> Row {
    let since = held_for.or(session.state_for);
    [
        lock.to_owned(),
        does.to_owned(),
        session.connection_id.to_string(),
        session.user.clone().unwrap_or_default(),
        session.host.clone().unwrap_or_default(),
        since.map(|time| format!("{}s", time.as_secs())).unwrap_or_default(),
        one_line(session.statement.as_deref().unwrap_or("idle")),
    ]
}
