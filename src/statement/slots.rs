//! Slots behind a turnstile: passing it, and acquiring the first slot that is free.
//!
//! `CASE` evaluates its conditions in their order, and no branch but its own. So the slots are tried in the turn only, and the turnstile
//! is released once, by the branch that has acquired the last slot.

use diesel::{
    mysql::Mysql,
    query_builder::{AstPass, Query, QueryFragment},
    result::QueryResult,
    sql_types::{BigInt, Double, Nullable, Unsigned},
};

use super::{Statement, not_cached, push_name};
use crate::{connection_id::ConnectionId, name::LockName, slots::Slots};

/// The server's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The session holds this slot now, and did not before. 0 is the first slot. If it is the last one, the turnstile was released.
    Slot(usize),
    /// The same, but the session did not hold the turnstile that it should have released.
    SlotOnly(usize),
    /// No slot is free. The session holds the turnstile.
    Full,
    /// Another session holds the turnstile. Nothing was acquired.
    Busy,
    /// The session already held one of the locks. Nothing was added.
    HeldBefore,
    /// The session holds the turnstile now, unless it held it before: its `pseudo_thread_id` is set.
    UnderPseudoId,
    /// **Anything may be held.**
    Unclear,
}

const HELD_BEFORE: i64 = -1;
const BUSY: i64 = -2;
const UNDER_PSEUDO_ID: i64 = -3;

/// More than there are attempts. Multiplies the number of the attempt.
const SLOT_ONLY: i64 = 1000;

/// In milliseconds: no limit to a statement that does not wait for long. The session's own `max_execution_time` may be shorter.
const TIME_LIMIT: u32 = 60_000;

/// `slot` returns the slot of an attempt, of which the first is 0.
fn read(answer: Option<i64>, slot: impl Fn(usize) -> Option<usize>) -> Answer {
    let slot = |number: i64| usize::try_from(number - 1).ok().and_then(&slot);
    match answer {
        Some(0) => Answer::Full,
        Some(HELD_BEFORE) => Answer::HeldBefore,
        Some(BUSY) => Answer::Busy,
        Some(UNDER_PSEUDO_ID) => Answer::UnderPseudoId,
        Some(number) if number < SLOT_ONLY => slot(number).map_or(Answer::Unclear, Answer::Slot),
        Some(number) => slot(number / SLOT_ONLY).map_or(Answer::Unclear, Answer::SlotOnly),
        None => Answer::Unclear,
    }
}

/// The number of the attempt that has just acquired its slot. If it is the last slot, the turnstile is released.
fn push_acquired<'b>(
    out: &mut AstPass<'_, 'b, Mysql>,
    turnstile: &'b LockName,
    attempt: usize,
    is_last: bool,
) -> QueryResult<()> {
    out.push_sql(&(attempt + 1).to_string());
    if is_last {
        out.push_sql(" * IF(RELEASE_LOCK(");
        push_name(out, turnstile)?;
        out.push_sql(&format!(") <=> 1, 1, {SLOT_ONLY})"));
    }
    Ok(())
}

/// The rest of a `CASE`: each of the slots, without waiting.
fn push_attempts<'b>(
    out: &mut AstPass<'_, 'b, Mysql>,
    slots: &'b Slots,
    tried: impl Iterator<Item = usize>,
    is_last: bool,
) -> QueryResult<()> {
    for (attempt, slot) in tried.enumerate() {
        out.push_sql(" WHEN GET_LOCK(");
        push_name(out, &slots.slots()[slot])?;
        out.push_sql(", 0) THEN ");
        push_acquired(out, slots.turnstile(), attempt, is_last)?;
    }
    out.push_sql(" ELSE 0 END");
    Ok(())
}

/// Passes the turnstile and acquires a slot, if both are free. Never waits.
///
/// If the slot is the last one that is wanted, the turnstile is released. Otherwise it is held.
///
/// There are always `SIZE` attempts, so that the statement has a static id (see `close` in the async driver). Those beyond the slots
/// repeat the last one, which is not free then.
pub(crate) struct Enter<'a, const SIZE: usize, const IS_LAST: bool>(pub(crate) &'a Slots);

/// The answer to [`Enter`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entered {
    pub(crate) answer: Answer,
    /// The value of `CONNECTION_ID()`.
    pub(crate) session: ConnectionId,
    /// The session that holds a slot which there should not be.
    pub(crate) beyond: Option<ConnectionId>,
}

impl<const SIZE: usize, const IS_LAST: bool> Enter<'_, SIZE, IS_LAST> {
    fn slot(&self, attempt: usize) -> usize {
        attempt.min(self.0.slots().len() - 1)
    }
}

impl<const SIZE: usize, const IS_LAST: bool> QueryFragment<Mysql> for Enter<'_, SIZE, IS_LAST> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        let (slots, attempts) = (self.0, (0..SIZE).map(|attempt| self.slot(attempt)));
        out.push_sql("CASE WHEN FIELD(CONNECTION_ID()");
        push_holder(&mut out, slots.turnstile())?;
        attempts.clone().try_for_each(|slot| push_holder(&mut out, &slots.slots()[slot]))?;
        out.push_sql(&format!(") THEN {HELD_BEFORE} ELSE CASE GET_LOCK("));
        push_name(&mut out, slots.turnstile())?;
        out.push_sql(&format!(", 0) WHEN 0 THEN {BUSY} WHEN 1 THEN CASE WHEN IS_USED_LOCK("));
        push_name(&mut out, slots.turnstile())?;
        out.push_sql(&format!(") <> CONNECTION_ID() THEN {UNDER_PSEUDO_ID}"));
        push_attempts(&mut out, slots, attempts, IS_LAST)?;
        out.push_sql(" END END, CONNECTION_ID()");
        push_holder(&mut out, &slots.beyond)
    }
}

impl<const SIZE: usize, const IS_LAST: bool> Query for Enter<'_, SIZE, IS_LAST> {
    type SqlType = (Nullable<BigInt>, Unsigned<BigInt>, Nullable<Unsigned<BigInt>>);
}

impl<const SIZE: usize, const IS_LAST: bool> diesel::query_builder::QueryId for Enter<'_, SIZE, IS_LAST> {
    type QueryId = Enter<'static, SIZE, IS_LAST>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<const SIZE: usize, const IS_LAST: bool> Statement for Enter<'_, SIZE, IS_LAST> {
    type Row = (Option<i64>, u64, Option<u64>);
    type Answer = Entered;

    fn time_limit(&self) -> Option<u32> {
        Some(TIME_LIMIT)
    }

    fn read(&self, (answer, session, beyond): Self::Row) -> Entered {
        let answer = read(answer, |attempt| (attempt < SIZE).then(|| self.slot(attempt)));
        Entered { answer, session: session.into(), beyond: beyond.map(ConnectionId::from) }
    }
}

/// Pauses, and then acquires the first slot that is free. For the session that holds the turnstile.
///
/// MariaDB pauses by waiting for one of the slots, so it wakes up at once if that becomes free. Also, a `SLEEP` there may survive a `KILL` by
/// two seconds. MySQL waits for whole seconds only, so it sleeps.
pub(crate) struct TakeSlot<'a> {
    pub(crate) slots: &'a Slots,
    /// Those that this session does not hold. The first one is waited for.
    pub(crate) others: &'a [usize],
    /// In seconds.
    pub(crate) pause: f64,
    pub(crate) is_last: bool,
}

impl QueryFragment<Mysql> for TakeSlot<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.push_sql("CASE GET_LOCK(");
        push_name(&mut out, &self.slots.slots()[self.others[0]])?;
        out.push_sql(", (0 /*M! + 1 */) * ");
        out.push_bind_param::<Double, _>(&self.pause)?;
        out.push_sql(") WHEN 1 THEN ");
        push_acquired(&mut out, self.slots.turnstile(), 0, self.is_last)?;
        out.push_sql(" WHEN 0 THEN CASE WHEN SLEEP((1 /*M! - 1 */) * ");
        out.push_bind_param::<Double, _>(&self.pause)?;
        out.push_sql(") THEN NULL");
        push_attempts(&mut out, self.slots, self.others.iter().copied(), self.is_last)?;
        out.push_sql(" END, CONNECTION_ID()");
        Ok(())
    }
}

impl Query for TakeSlot<'_> {
    type SqlType = (Nullable<BigInt>, Unsigned<BigInt>);
}

impl Statement for TakeSlot<'_> {
    type Row = (Option<i64>, u64);
    type Answer = (Answer, ConnectionId);

    fn time_limit(&self) -> Option<u32> {
        Some(TIME_LIMIT)
    }

    fn read(&self, (answer, session): Self::Row) -> Self::Answer {
        (read(answer, |attempt| self.others.get(attempt).copied()), session.into())
    }
}

/// Asks for the first of these locks that the session holds.
pub(crate) struct FirstHeld<'a> {
    pub(crate) names: &'a [LockName],
    /// The id by which other sessions see this one.
    pub(crate) session: u64,
}

fn push_holder<'b>(out: &mut AstPass<'_, 'b, Mysql>, name: &'b LockName) -> QueryResult<()> {
    out.push_sql(", IS_USED_LOCK(");
    push_name(out, name)?;
    out.push_sql(")");
    Ok(())
}

impl QueryFragment<Mysql> for FirstHeld<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.unsafe_to_cache_prepared();
        out.push_sql("FIELD(");
        out.push_bind_param::<Unsigned<BigInt>, _>(&self.session)?;
        self.names.iter().try_for_each(|name| push_holder(&mut out, name))?;
        out.push_sql(")");
        Ok(())
    }
}

impl Query for FirstHeld<'_> {
    type SqlType = BigInt;
}

impl Statement for FirstHeld<'_> {
    type Row = i64;
    type Answer = Option<usize>;

    fn read(&self, field: i64) -> Option<usize> {
        usize::try_from(field).ok()?.checked_sub(1)
    }
}

/// Asks how many of these locks the session holds.
pub(crate) struct CountHeld<'a> {
    pub(crate) names: &'a [LockName],
}

impl QueryFragment<Mysql> for CountHeld<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.push_sql("0");
        for name in self.names {
            out.push_sql(" + (IS_USED_LOCK(");
            push_name(&mut out, name)?;
            out.push_sql(") <=> CONNECTION_ID())");
        }
        out.push_sql(", CONNECTION_ID()");
        Ok(())
    }
}

impl Query for CountHeld<'_> {
    type SqlType = (BigInt, Unsigned<BigInt>);
}

impl Statement for CountHeld<'_> {
    type Row = (i64, u64);
    /// Their number, and the value of `CONNECTION_ID()`.
    type Answer = (usize, ConnectionId);

    fn read(&self, (count, session): Self::Row) -> Self::Answer {
        (usize::try_from(count).unwrap_or_default(), session.into())
    }
}

// Cached by their texts, which differ with the number of names, and with whether it is the last slot. `FirstHeld` is rare.
not_cached!(TakeSlot<'_>, FirstHeld<'_>, CountHeld<'_>);
