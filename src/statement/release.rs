//! The release of a lock.

use diesel::{
    mysql::Mysql,
    query_builder::{AstPass, Query, QueryFragment},
    result::QueryResult,
    sql_types::{BigInt, Integer, Nullable, Unsigned},
};

use super::{Statement, cached, push_name};
use crate::{connection_id::ConnectionId, name::LockName};

/// The server's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The session held the lock, and no longer holds it.
    Released,
    /// The session held the lock more than once, and still holds it: the closure has called `GET_LOCK` by hand.
    HeldAgain,
    /// The session did not hold it.
    NotHeld,
    /// `CONNECTION_ID()` is another session. Nothing was released.
    OtherSession,
}

/// Releases the lock, once, and only in the session that acquired it.
pub(crate) struct ReleaseLock<'a> {
    pub(crate) name: &'a LockName,
    pub(crate) session: u64,
    /// The id by which other sessions see this one.
    pub(crate) seen_as: ConnectionId,
}

impl QueryFragment<Mysql> for ReleaseLock<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.push_sql("IF(CONNECTION_ID() = ");
        out.push_bind_param::<Unsigned<BigInt>, _>(&self.session)?;
        out.push_sql(", RELEASE_LOCK(");
        push_name(&mut out, self.name)?;
        out.push_sql("), 2), IS_USED_LOCK(");
        push_name(&mut out, self.name)?;
        out.push_sql(")");
        Ok(())
    }
}

impl Query for ReleaseLock<'_> {
    type SqlType = (Nullable<Integer>, Nullable<Unsigned<BigInt>>);
}

cached!(ReleaseLock<'_> => ReleaseLock<'static>);

impl Statement for ReleaseLock<'_> {
    type Row = (Option<i32>, Option<u64>);
    type Answer = Answer;

    fn read(&self, (answer, holder): Self::Row) -> Answer {
        match answer {
            Some(2) => Answer::OtherSession,
            Some(1) if holder == Some(self.seen_as.get()) => Answer::HeldAgain,
            Some(1) => Answer::Released,
            _ => Answer::NotHeld,
        }
    }
}
