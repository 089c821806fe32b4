//! The entry of one session in the server's process list.

use std::time::Duration;

use diesel::{
    QueryableByName,
    mysql::Mysql,
    query_builder::{AstPass, Query, QueryFragment},
    result::QueryResult,
    sql_types::{BigInt, Nullable, Text, Unsigned},
};

use super::{Statement, not_cached};
use crate::{connection_id::ConnectionId, holder::SessionInfo};

/// The entry of a session, which is empty if the process list does not show the session.
#[derive(Debug, Clone, QueryableByName, Default)]
pub(crate) struct Process {
    #[diesel(sql_type = Nullable<Text>)]
    user: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    host: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    db: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    info: Option<String>,
    #[diesel(sql_type = Nullable<BigInt>)]
    time: Option<i64>,
}

impl Process {
    pub(crate) fn into_holder(self, connection_id: ConnectionId) -> SessionInfo {
        let state_for = self.time.and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs);
        SessionInfo {
            connection_id,
            user: self.user,
            host: self.host,
            database: self.db,
            statement: self.info,
            state_for,
        }
    }
}

/// Describes a session as far as the server shows it to this account.
///
/// There is always a row: without the PROCESS privilege, and if `KILL QUERY` strikes the question, it is NULL throughout.
pub(crate) struct DescribeSession {
    id: u64,
    list: ProcessList,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum ProcessList {
    /// Of both servers. MySQL answers with an error for as long as any session runs a statement with a character above U+FFFF.
    InformationSchema,
    /// Of MySQL only, and empty if its Performance Schema is off.
    PerformanceSchema,
}

impl DescribeSession {
    pub(crate) fn of(session: ConnectionId, list: ProcessList) -> Self {
        Self { id: session.get(), list }
    }
}

impl QueryFragment<Mysql> for DescribeSession {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.push_sql("MAX(USER), MAX(HOST), MAX(DB), MAX(LEFT(INFO, 1024)), MAX(TIME) FROM ");
        out.push_sql(match self.list {
            ProcessList::InformationSchema => "information_schema.PROCESSLIST",
            ProcessList::PerformanceSchema => "performance_schema.processlist",
        });
        out.push_sql(" WHERE ID = ");
        out.push_bind_param::<Unsigned<BigInt>, _>(&self.id)
    }
}

impl Query for DescribeSession {
    type SqlType = (Nullable<Text>, Nullable<Text>, Nullable<Text>, Nullable<Text>, Nullable<BigInt>);
}

// Cached by its text.
not_cached!(DescribeSession);

impl Statement for DescribeSession {
    type Row = (Option<String>, Option<String>, Option<String>, Option<String>, Option<i64>);
    type Answer = SessionInfo;

    fn read(&self, (user, host, db, info, time): Self::Row) -> SessionInfo {
        Process { user, host, db, info, time }.into_holder(self.id.into())
    }
}
