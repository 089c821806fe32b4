//! Several locks in one statement: acquiring those that are free, and releasing.

use diesel::{
    mysql::Mysql,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    result::QueryResult,
    sql_types::{BigInt, Nullable, Unsigned},
};

use super::{
    Statement,
    acquire::{self, push_session},
    cached, push_name, release,
};
use crate::name::LockName;

/// How many locks one statement acquires or releases, at most.
pub(crate) const MOST: usize = 10;

/// Acquires the locks in their order, up to the first that is not free. Never waits.
///
/// A lock that is not free is not asked for: one that this session holds is not counted up. `CASE` keeps the NULL of a `GET_LOCK`.
/// `IF` and `CASE` evaluate no branch but their own; the operands of `AND` are evaluated in any order.
///
/// There are always as many questions as fit. Those beyond the names repeat the last one, which is not free then.
pub(crate) struct GetLocks<'a> {
    pub(crate) names: &'a [LockName],
}

impl GetLocks<'_> {
    fn name(&self, index: usize) -> &LockName {
        &self.names[index.min(self.names.len() - 1)]
    }
}

impl QueryFragment<Mysql> for GetLocks<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        for index in 0..MOST {
            if index == 1 {
                // Under a pseudo id, the first lock is one too many.
                out.push_sql("IF(IS_USED_LOCK(");
                push_name(&mut out, self.name(0))?;
                out.push_sql(") = CONNECTION_ID(), ");
            }
            out.push_sql("IF(IS_FREE_LOCK(");
            push_name(&mut out, self.name(index))?;
            out.push_sql("), CASE GET_LOCK(");
            push_name(&mut out, self.name(index))?;
            out.push_sql(", 0) WHEN 0 THEN 0 WHEN 1 THEN 1 + ");
        }
        out.push_sql("0");
        out.push_sql(&" END, 0)".repeat(MOST - 1));
        out.push_sql(", 0) END, 0), ");
        push_session(&mut out, self.name(0))
    }
}

impl Query for GetLocks<'_> {
    type SqlType = (Nullable<BigInt>, Nullable<Unsigned<BigInt>>);
}

cached!(GetLocks<'_> => GetLocks<'static>);

impl Statement for GetLocks<'_> {
    type Row = (Option<i64>, Option<u64>);
    /// How many of the locks the answer is about, from the first on. `Busy` is none: the first one is not free.
    type Answer = (usize, acquire::Answer);

    fn read(&self, (count, session): Self::Row) -> Self::Answer {
        use acquire::Answer::{Busy, Granted, GrantedUnderPseudoId, Unclear};
        match (count.and_then(|count| usize::try_from(count).ok()), session) {
            (Some(0), _) => (0, Busy),
            (Some(count), Some(session)) if count <= self.names.len() => (count, Granted(session.into())),
            (Some(1), None) => (1, GrantedUnderPseudoId),
            _ => (self.names.len(), Unclear),
        }
    }
}

/// Releases locks, each once, the last one first, and only in the session that acquired them.
///
/// The first answer has a bit for each that was held, the second for each that is held still.
pub(crate) struct ReleaseLocks<'a> {
    pub(crate) names: &'a [LockName],
    pub(crate) session: u64,
}

const OTHER_SESSION: i64 = -1;

impl ReleaseLocks<'_> {
    /// A sum: `column` of each lock, that of the last one in the lowest bit.
    fn push_bits<'b>(&'b self, out: &mut AstPass<'_, 'b, Mysql>, column: [&str; 2]) -> QueryResult<()> {
        for (index, name) in self.names.iter().rev().enumerate() {
            out.push_sql(if index == 0 { "" } else { " + 2 * (" });
            out.push_sql(column[0]);
            push_name(out, name)?;
            out.push_sql(column[1]);
        }
        out.push_sql(&")".repeat(self.names.len() - 1));
        Ok(())
    }
}

impl QueryFragment<Mysql> for ReleaseLocks<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.push_sql("IF(CONNECTION_ID() = ");
        out.push_bind_param::<Unsigned<BigInt>, _>(&self.session)?;
        out.push_sql(", ");
        self.push_bits(&mut out, ["COALESCE(RELEASE_LOCK(", "), 0)"])?;
        out.push_sql(&format!(", {OTHER_SESSION}), "));
        self.push_bits(&mut out, ["(IS_USED_LOCK(", ") <=> CONNECTION_ID())"])
    }
}

impl Query for ReleaseLocks<'_> {
    type SqlType = (Nullable<BigInt>, BigInt);
}

/// Cached by its text, which differs with the number of names.
impl QueryId for ReleaseLocks<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Statement for ReleaseLocks<'_> {
    type Row = (Option<i64>, i64);
    /// That for each of the locks, the last one first.
    type Answer = Vec<release::Answer>;

    fn read(&self, (released, held): Self::Row) -> Self::Answer {
        let bit_of = |bits: i64, index: usize| bits >> index & 1 == 1;
        let answer = |index| match released {
            Some(OTHER_SESSION) => release::Answer::OtherSession,
            _ if bit_of(held, index) => release::Answer::HeldAgain,
            Some(released) if bit_of(released, index) => release::Answer::Released,
            _ => release::Answer::NotHeld,
        };
        (0..self.names.len()).map(answer).collect()
    }
}
