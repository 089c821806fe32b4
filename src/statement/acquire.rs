//! The acquire of a lock.

use diesel::{
    mysql::Mysql,
    query_builder::{AstPass, Query, QueryFragment},
    result::QueryResult,
    sql_types::{BigInt, Double, Integer, Nullable, Unsigned},
};

use super::{Statement, cached, not_cached, push_name};
use crate::{connection_id::ConnectionId, name::LockName};

/// The server's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// This session holds the lock now, and did not before.
    Granted(ConnectionId),
    /// The same, unless the session held it before: its `pseudo_thread_id` is set, so `CONNECTION_ID()` is not its id.
    GrantedUnderPseudoId,
    /// This session already held it. Nothing was added.
    HeldBefore(ConnectionId),
    /// Another session holds it.
    Busy,
    /// NULL, as MariaDB answers to `KILL QUERY` and to a statement time limit. **The lock may be held.**
    Unclear,
}

fn read(answer: Option<i32>, session: Option<u64>) -> Answer {
    match (answer, session) {
        (Some(0), _) => Answer::Busy,
        (Some(1), Some(session)) => Answer::Granted(session.into()),
        (Some(1), None) => Answer::GrantedUnderPseudoId,
        (Some(2), Some(session)) => Answer::HeldBefore(session.into()),
        _ => Answer::Unclear,
    }
}

/// Waits for whole seconds. `2` is for a lock that this session holds already: `GET_LOCK` would count up, and then one
/// release would not free it.
pub(crate) struct GetLock<'a> {
    pub(crate) name: &'a LockName,
    pub(crate) seconds: u32,
}

/// Waits for parts of a second, which MySQL rounds. MariaDB, and it alone, reads `/*M! … */` (MariaDB manual, "Comment
/// Syntax") and waits; MySQL multiplies the timeout by zero. The second answer is whether the server has waited.
pub(crate) struct GetLockOrAskOnce<'a> {
    pub(crate) name: &'a LockName,
    pub(crate) seconds: f64,
}

/// Waits for a part of a second on MySQL: by an execution time limit. `GET_LOCK`'s own timeout is a second longer.
///
/// The limit stands in a hint, which takes a literal only, so the statement is not to be cached.
pub(crate) struct GetLockOnMysql<'a> {
    pub(crate) name: &'a LockName,
    pub(crate) millis: u32,
}

fn push_question<'b>(out: &mut AstPass<'_, 'b, Mysql>, name: &'b LockName) -> QueryResult<()> {
    out.push_sql("IF(IS_USED_LOCK(");
    push_name(out, name)?;
    out.push_sql(") = CONNECTION_ID(), 2, GET_LOCK(");
    push_name(out, name)
}

/// The session's id, or NULL if this is not what others see it by. Right after the answer, whose lock it looks at.
pub(super) fn push_session<'b>(out: &mut AstPass<'_, 'b, Mysql>, name: &'b LockName) -> QueryResult<()> {
    out.push_sql("IF(IS_USED_LOCK(");
    push_name(out, name)?;
    out.push_sql(") = CONNECTION_ID(), CONNECTION_ID(), NULL)");
    Ok(())
}

impl QueryFragment<Mysql> for GetLock<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        push_question(&mut out, self.name)?;
        out.push_sql(", ");
        out.push_bind_param::<Unsigned<Integer>, _>(&self.seconds)?;
        out.push_sql(")), ");
        push_session(&mut out, self.name)
    }
}

impl QueryFragment<Mysql> for GetLockOrAskOnce<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        push_question(&mut out, self.name)?;
        out.push_sql(", (0 /*M! + 1 */) * ");
        out.push_bind_param::<Double, _>(&self.seconds)?;
        out.push_sql(")), ");
        push_session(&mut out, self.name)?;
        out.push_sql(", 0 /*M! + 1 */");
        Ok(())
    }
}

impl QueryFragment<Mysql> for GetLockOnMysql<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.unsafe_to_cache_prepared();
        out.push_sql("GET_LOCK(");
        push_name(&mut out, self.name)?;
        out.push_sql(&format!(", {}), ", self.millis / 1000 + 1));
        push_session(&mut out, self.name)
    }
}

impl Query for GetLock<'_> {
    type SqlType = (Nullable<Integer>, Nullable<Unsigned<BigInt>>);
}

impl Query for GetLockOrAskOnce<'_> {
    type SqlType = (Nullable<Integer>, Nullable<Unsigned<BigInt>>, Integer);
}

impl Query for GetLockOnMysql<'_> {
    type SqlType = (Nullable<Integer>, Nullable<Unsigned<BigInt>>);
}

cached!(GetLock<'_> => GetLock<'static>, GetLockOrAskOnce<'_> => GetLockOrAskOnce<'static>);
not_cached!(GetLockOnMysql<'_>);

impl Statement for GetLock<'_> {
    type Row = (Option<i32>, Option<u64>);
    type Answer = Answer;

    fn waits(&self) -> bool {
        true
    }

    fn read(&self, (answer, session): Self::Row) -> Answer {
        read(answer, session)
    }
}

impl Statement for GetLockOrAskOnce<'_> {
    type Row = (Option<i32>, Option<u64>, i32);
    type Answer = (Answer, bool);

    fn waits(&self) -> bool {
        true
    }

    fn read(&self, (answer, session, has_waited): Self::Row) -> (Answer, bool) {
        (read(answer, session), has_waited != 0)
    }
}

impl Statement for GetLockOnMysql<'_> {
    type Row = (Option<i32>, Option<u64>);
    type Answer = Answer;

    fn waits(&self) -> bool {
        true
    }

    fn time_limit(&self) -> Option<u32> {
        Some(self.millis)
    }

    fn read(&self, (answer, session): Self::Row) -> Answer {
        read(answer, session)
    }
}
