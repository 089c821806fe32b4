//! Asking for a lock.

use std::time::Instant;

use diesel::{
    RunQueryDsl,
    mysql::Mysql,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    result::QueryResult,
    sql_types::{BigInt, Double, Integer, Nullable, Unsigned},
};

use super::{
    failure::{self, Cause, Failure},
    name::push_name,
};
use crate::{
    driver::MysqlSession,
    name::LockName,
    timeout::{ServerTimeout, Timeout},
};

/// What the server said, clearly.
pub(crate) enum Answer {
    /// This session, of this connection id, holds the lock now, and did not before.
    Granted(u64),
    /// This session held it before; nothing was added.
    HeldBefore(u64),
    /// Another session holds it.
    Busy,
}

/// Asks for the lock, and waits its turn in the server's queue for as long as `timeout`.
///
/// # Errors
///
/// Whenever the answer is neither yes nor no. **The lock may be held all the same.**
pub(crate) fn get_lock<C: MysqlSession>(conn: &mut C, name: &LockName, timeout: Timeout) -> Result<Answer, Failure> {
    match timeout.for_server() {
        ServerTimeout::Seconds(seconds) => {
            let question = GetLock { name: name.as_str(), seconds };
            let (answer, session) = question.get_result(conn).map_err(|error| failure::of_cached(conn, error))?;
            read(answer, session)
        }
        ServerTimeout::Millis(millis) => get_lock_in_millis(conn, name, millis),
    }
}

/// MySQL asks once first, so that a free lock costs it one round trip, too.
fn get_lock_in_millis<C: MysqlSession>(conn: &mut C, name: &LockName, millis: u32) -> Result<Answer, Failure> {
    let start = Instant::now();
    let question = GetLockOrAskOnce { name: name.as_str(), seconds: f64::from(millis) / 1000.0 };
    let (answer, session, has_waited): (_, _, i32) =
        question.get_result(conn).map_err(|error| failure::of_cached(conn, error))?;
    let elapsed = u32::try_from(start.elapsed().as_millis()).unwrap_or(u32::MAX);
    let left = millis.saturating_sub(elapsed);
    if answer != Some(0) || has_waited != 0 || left == 0 {
        return read(answer, session);
    }
    let question = GetLockOnMysql { name: name.as_str(), millis: left };
    let (answer, session) = question.get_result(conn).map_err(|error| {
        match failure::of_uncached(conn, error) {
            // The limit is ours: the hint overrides the session's own.
            Failure::Error(Cause::TimeLimit, source) => Failure::Error(Cause::OutOfTime, source),
            other => other,
        }
    })?;
    read(answer, session)
}

fn read(answer: Option<i32>, session: u64) -> Result<Answer, Failure> {
    match answer {
        Some(0) => Ok(Answer::Busy),
        Some(1) => Ok(Answer::Granted(session)),
        Some(2) => Ok(Answer::HeldBefore(session)),
        _ => Err(Failure::Null),
    }
}

/// For whole seconds. `2` is for a lock that this session holds already: `GET_LOCK` would count up, and then one release
/// would not free it.
struct GetLock<'a> {
    name: &'a str,
    seconds: u32,
}

/// For parts of a second, which MySQL rounds. MariaDB, and it alone, reads `/*M! … */` (MariaDB manual, "Comment Syntax")
/// and waits; MySQL multiplies the timeout by zero.
struct GetLockOrAskOnce<'a> {
    name: &'a str,
    seconds: f64,
}

/// MySQL's way to wait for a part of a second: an execution time limit. `GET_LOCK`'s own timeout is a second longer.
///
/// The hint takes a literal only, so the statement is not to be cached.
struct GetLockOnMysql<'a> {
    name: &'a str,
    millis: u32,
}

impl QueryFragment<Mysql> for GetLock<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.push_sql("SELECT IF(IS_USED_LOCK(");
        push_name(&mut out, self.name)?;
        out.push_sql(") = CONNECTION_ID(), 2, GET_LOCK(");
        push_name(&mut out, self.name)?;
        out.push_sql(", ");
        out.push_bind_param::<Unsigned<Integer>, _>(&self.seconds)?;
        out.push_sql(")), CONNECTION_ID()");
        Ok(())
    }
}

impl QueryFragment<Mysql> for GetLockOrAskOnce<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.push_sql("SELECT IF(IS_USED_LOCK(");
        push_name(&mut out, self.name)?;
        out.push_sql(") = CONNECTION_ID(), 2, GET_LOCK(");
        push_name(&mut out, self.name)?;
        out.push_sql(", (0 /*M! + 1 */) * ");
        out.push_bind_param::<Double, _>(&self.seconds)?;
        out.push_sql(")), CONNECTION_ID(), 0 /*M! + 1 */");
        Ok(())
    }
}

impl QueryFragment<Mysql> for GetLockOnMysql<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.unsafe_to_cache_prepared();
        out.push_sql(&format!("SELECT /*+ MAX_EXECUTION_TIME({}) */ GET_LOCK(", self.millis));
        push_name(&mut out, self.name)?;
        out.push_sql(&format!(", {}), CONNECTION_ID()", self.millis / 1000 + 1));
        Ok(())
    }
}

impl Query for GetLock<'_> {
    type SqlType = (Nullable<Integer>, Unsigned<BigInt>);
}

impl Query for GetLockOrAskOnce<'_> {
    type SqlType = (Nullable<Integer>, Unsigned<BigInt>, Integer);
}

impl Query for GetLockOnMysql<'_> {
    type SqlType = (Nullable<Integer>, Unsigned<BigInt>);
}

impl QueryId for GetLock<'_> {
    type QueryId = GetLock<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl QueryId for GetLockOrAskOnce<'_> {
    type QueryId = GetLockOrAskOnce<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl QueryId for GetLockOnMysql<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<C> RunQueryDsl<C> for GetLock<'_> {}

impl<C> RunQueryDsl<C> for GetLockOrAskOnce<'_> {}

impl<C> RunQueryDsl<C> for GetLockOnMysql<'_> {}
