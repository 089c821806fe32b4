//! Giving a lock back, and seeing that it is free of this session.

use diesel::{
    RunQueryDsl,
    mysql::Mysql,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    result::QueryResult,
    sql_types::{BigInt, Integer, Nullable, Unsigned},
};

use super::name::push_name;
use crate::{
    driver::{self, MysqlSession},
    name::LockName,
};

/// What the server said, clearly.
pub(crate) enum Answer {
    /// The session held the lock, and holds it no more.
    Released,
    /// The session did not hold it.
    NotHeld,
    /// This is another session, of this connection id. Nothing was released.
    OtherSession(u64),
}

/// Releases only in the session that took the lock, then looks who holds it: still this one, where the work has called
/// `GET_LOCK` by hand and made the count 2.
struct ReleaseLock<'a> {
    name: &'a str,
    session: u64,
}

impl Query for ReleaseLock<'_> {
    type SqlType = (Nullable<Integer>, Unsigned<BigInt>, Nullable<Unsigned<BigInt>>);
}

impl QueryFragment<Mysql> for ReleaseLock<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.push_sql("SELECT IF(CONNECTION_ID() = ");
        out.push_bind_param::<Unsigned<BigInt>, _>(&self.session)?;
        out.push_sql(", RELEASE_LOCK(");
        push_name(&mut out, self.name)?;
        out.push_sql("), NULL), CONNECTION_ID(), IS_USED_LOCK(");
        push_name(&mut out, self.name)?;
        out.push_sql(")");
        Ok(())
    }
}

impl QueryId for ReleaseLock<'_> {
    type QueryId = ReleaseLock<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<C> RunQueryDsl<C> for ReleaseLock<'_> {}

/// Releases the lock, as often as it is held, in one round trip if it is held once.
///
/// # Errors
///
/// Where the server did not answer. The lock may be held, or not.
pub(crate) fn release_lock<C: MysqlSession>(conn: &mut C, name: &LockName, session: u64) -> QueryResult<Answer> {
    let mut released = false;
    loop {
        let question = ReleaseLock { name: name.as_str(), session };
        let (answer, found, holder): (Option<i32>, u64, Option<u64>) =
            question.get_result(conn).inspect_err(|_| driver::forget_statements(conn))?;
        if found != session {
            return Ok(Answer::OtherSession(found));
        }
        released |= answer == Some(1);
        if holder != Some(session) {
            return Ok(if released { Answer::Released } else { Answer::NotHeld });
        }
    }
}
