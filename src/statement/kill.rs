//! The `KILL` of a session, which frees every lock that it holds.

use diesel::{
    mysql::Mysql,
    query_builder::{AstPass, QueryFragment},
    result::QueryResult,
};

use super::not_cached;
use crate::connection_id::ConnectionId;

/// Kills the session that sends it.
///
/// Prepared, because as text it would count for the account's `MAX_QUERIES_PER_HOUR`, and might be refused.
pub(crate) struct KillOwn;

/// For a session that can't be killed: a Galera node without a majority refuses `KILL` of the own session with error 1047, but not this.
pub(crate) struct ExpireOwn;

pub(crate) struct Kill(pub(crate) ConnectionId);

impl QueryFragment<Mysql> for KillOwn {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.unsafe_to_cache_prepared();
        out.push_sql("KILL CONNECTION_ID()");
        Ok(())
    }
}

impl QueryFragment<Mysql> for ExpireOwn {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.unsafe_to_cache_prepared();
        out.push_sql("SET SESSION wait_timeout = 1");
        Ok(())
    }
}

impl QueryFragment<Mysql> for Kill {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.unsafe_to_cache_prepared();
        out.push_sql(&format!("KILL {}", self.0));
        Ok(())
    }
}

not_cached!(KillOwn, ExpireOwn, Kill);

/// As text, because an async connection whose future was dropped can't get stuck in the answer to that.
#[cfg(feature = "async")]
pub(crate) const KILL_OWN: &str = "KILL CONNECTION_ID()";

/// As text, around the `KILL` of another session, for a Galera node without a majority. Other servers don't know the variable.
pub(crate) const ALLOW_KILL_WITHOUT_MAJORITY: [&str; 2] =
    ["SET SESSION wsrep_dirty_reads = ON", "SET SESSION wsrep_dirty_reads = DEFAULT"];
