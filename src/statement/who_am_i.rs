//! The id by which other sessions see this one, whatever its `pseudo_thread_id`.

use diesel::{
    mysql::Mysql,
    query_builder::{AstPass, Query, QueryFragment},
    result::QueryResult,
    sql_types::{BigInt, Integer, Nullable, Unsigned},
};

use super::{Statement, cached, push_name};
use crate::{connection_id::ConnectionId, name::LockName};

/// Acquires a lock with a name that no other session uses, and asks for its holder. Safe to ask twice, with the same name.
pub(crate) struct WhoAmI {
    name: LockName,
}

impl WhoAmI {
    pub(crate) fn new() -> Self {
        Self { name: LockName::unused("who am i") }
    }
}

impl QueryFragment<Mysql> for WhoAmI {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.push_sql("GET_LOCK(");
        push_name(&mut out, &self.name)?;
        out.push_sql(", 0), IS_USED_LOCK(");
        push_name(&mut out, &self.name)?;
        out.push_sql("), RELEASE_LOCK(");
        push_name(&mut out, &self.name)?;
        out.push_sql(")");
        Ok(())
    }
}

impl Query for WhoAmI {
    type SqlType = (Nullable<Integer>, Nullable<Unsigned<BigInt>>, Nullable<Integer>);
}

cached!(WhoAmI => WhoAmI);

impl Statement for WhoAmI {
    type Row = (Option<i32>, Option<u64>, Option<i32>);
    type Answer = Option<ConnectionId>;

    fn read(&self, (_, session, released): Self::Row) -> Option<ConnectionId> {
        session.filter(|_| released == Some(1)).map(ConnectionId::from)
    }
}
