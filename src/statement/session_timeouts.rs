//! How long the server waits for a silent client.

use diesel::{
    mysql::Mysql,
    query_builder::{AstPass, Query, QueryFragment},
    result::QueryResult,
    sql_types::{BigInt, Unsigned},
};

use super::{Statement, cached};

/// The timeouts of one session, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timeouts {
    pub(crate) session: u64,
    /// Between two statements.
    pub(crate) wait: u64,
    /// In the middle of a statement, or of an answer.
    pub(crate) read: u64,
    pub(crate) write: u64,
}

impl Timeouts {
    pub(crate) fn at_most(self, limit: u64) -> Self {
        let Self { session, wait, read, write } = self;
        Self { session, wait: wait.min(limit), read: read.min(limit), write: write.min(limit) }
    }
}

pub(crate) struct AskTimeouts;

/// Sets the timeouts, if this is still the session that they belong to.
#[derive(Clone, Copy)]
pub(crate) struct SetTimeouts(pub(crate) Timeouts);

impl QueryFragment<Mysql> for AskTimeouts {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.push_sql("CONNECTION_ID(), @@wait_timeout, @@net_read_timeout, @@net_write_timeout");
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

cached!(AskTimeouts => AskTimeouts, SetTimeouts => SetTimeouts);

impl Statement for AskTimeouts {
    type Row = (u64, u64, u64, u64);
    type Answer = Timeouts;

    fn read(&self, (session, wait, read, write): Self::Row) -> Timeouts {
        Timeouts { session, wait, read, write }
    }
}
