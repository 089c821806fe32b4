//! For how long the server waits for a client that says nothing.

use diesel::{
    RunQueryDsl,
    mysql::Mysql,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    result::QueryResult,
    sql_types::{BigInt, Unsigned},
};

use crate::driver::{MysqlSession, retry::retry};

/// The timeouts of one session, in seconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeouts {
    session: u64,
    /// Between two statements.
    wait: u64,
    /// In the middle of a statement, or of an answer.
    read: u64,
    write: u64,
}

impl Timeouts {
    pub(crate) fn at_most(self, limit: u64) -> Self {
        let Self { session, wait, read, write } = self;
        Self { session, wait: wait.min(limit), read: read.min(limit), write: write.min(limit) }
    }
}

struct AskTimeouts;

struct SetTimeouts(Timeouts);

impl QueryFragment<Mysql> for AskTimeouts {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.push_sql("SELECT CONNECTION_ID(), @@wait_timeout, @@net_read_timeout, @@net_write_timeout");
        Ok(())
    }
}

impl QueryFragment<Mysql> for SetTimeouts {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        let Timeouts { session, wait, read, write } = &self.0;
        out.push_sql("SET SESSION ");
        for (variable, seconds) in
            [("wait_timeout", wait), (", net_read_timeout", read), (", net_write_timeout", write)]
        {
            out.push_sql(variable);
            // MySQL takes a bare parameter inside IF for a string, and that for no timeout.
            out.push_sql(" = IF(CONNECTION_ID() = ");
            out.push_bind_param::<Unsigned<BigInt>, _>(session)?;
            out.push_sql(", CAST(");
            out.push_bind_param::<Unsigned<BigInt>, _>(seconds)?;
            out.push_sql(" AS UNSIGNED), @@");
            out.push_sql(variable.trim_start_matches(", "));
            out.push_sql(")");
        }
        Ok(())
    }
}

impl Query for AskTimeouts {
    type SqlType = (Unsigned<BigInt>, Unsigned<BigInt>, Unsigned<BigInt>, Unsigned<BigInt>);
}

impl QueryId for AskTimeouts {
    type QueryId = Self;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl QueryId for SetTimeouts {
    type QueryId = Self;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<C> RunQueryDsl<C> for AskTimeouts {}

impl<C> RunQueryDsl<C> for SetTimeouts {}

/// The timeouts of this session.
pub(crate) fn timeouts<C: MysqlSession>(conn: &mut C) -> QueryResult<Timeouts> {
    let (session, wait, read, write) = retry(conn, |conn| AskTimeouts.get_result(conn))?;
    Ok(Timeouts { session, wait, read, write })
}

/// Sets them, if this is still the session that they are of.
pub(crate) fn set_timeouts<C: MysqlSession>(conn: &mut C, timeouts: Timeouts) -> QueryResult<()> {
    retry(conn, |conn| SetTimeouts(timeouts).execute(conn)).map(drop)
}
