//! What a server says about itself, as far as it concerns named locks.

use std::collections::HashMap;

use diesel::{
    QueryableByName, RunQueryDsl,
    dsl::sql,
    result::QueryResult,
    select, sql_query,
    sql_types::{BigInt, Bool, Nullable, Text, Unsigned},
};

use super::privilege::{self, Privilege};
use crate::{driver::MysqlSession, operator_error::OperatorError};

pub(crate) struct Facts {
    pub(crate) version: String,
    /// Those that the server has, as they are for this session; in upper case.
    pub(crate) variables: HashMap<String, String>,
    /// The servers that it replicates from.
    pub(crate) sources: Result<Vec<String>, OperatorError>,
    /// The members of its Group Replication group; none where it is in no group.
    pub(crate) members: Result<Vec<Member>, OperatorError>,
    /// What it answered when it was asked several times who this session is.
    pub(crate) connection_ids: Vec<u64>,
}

/// A member of a group that is not off line.
#[derive(QueryableByName)]
pub(crate) struct Member {
    #[diesel(sql_type = Text)]
    pub(crate) role: String,
    /// Whether it is the server that was asked.
    #[diesel(sql_type = Bool)]
    pub(crate) asked: bool,
}

/// Asks for all of it. What this account may not see is an error in its place.
pub(crate) fn gather<C: MysqlSession>(conn: &mut C) -> QueryResult<Facts> {
    let version: String = select(sql::<Text>("VERSION()")).get_result(conn)?;
    let variables = variables(conn)?;
    let sources = sources(conn, version.contains("MariaDB"));
    let members = match variables.contains_key("GROUP_REPLICATION_GROUP_NAME") {
        true => members(conn),
        false => Ok(Vec::new()),
    };
    let connection_ids = connection_ids(conn)?;
    Ok(Facts { version, variables, sources, members, connection_ids })
}

#[derive(QueryableByName)]
struct Variable {
    #[diesel(sql_type = Text)]
    #[diesel(column_name = Variable_name)]
    name: String,
    #[diesel(sql_type = Text)]
    #[diesel(column_name = Value)]
    value: String,
}

fn variables<C: MysqlSession>(conn: &mut C) -> QueryResult<HashMap<String, String>> {
    const QUERY: &str = "
        SHOW VARIABLES WHERE Variable_name IN (
            'version_comment', 'read_only', 'super_read_only', 'innodb_read_only', 'wsrep_on', 'wsrep_cluster_name',
            'group_replication_group_name', 'group_replication_single_primary_mode', 'aurora_version',
            'wait_timeout', 'idle_transaction_timeout', 'max_execution_time', 'max_statement_time')";
    let found = sql_query(QUERY).load::<Variable>(conn)?;
    Ok(found.into_iter().map(|variable| (variable.name.to_uppercase(), variable.value)).collect())
}

#[derive(QueryableByName)]
struct Source {
    #[diesel(sql_type = Nullable<Text>)]
    #[diesel(column_name = Master_Host)]
    host: Option<String>,
}

fn sources<C: MysqlSession>(conn: &mut C, mariadb: bool) -> Result<Vec<String>, OperatorError> {
    // What `SHOW REPLICA STATUS` says; that one can't be prepared. A member of a group catches up over a channel, too.
    const ON_MYSQL: &str = "
        SELECT HOST AS Master_Host FROM performance_schema.replication_connection_configuration
        WHERE LEFT(CHANNEL_NAME, 18) <> 'group_replication_'";

    let (query, privilege) = match mariadb {
        true => ("SHOW ALL SLAVES STATUS", Privilege::ReplicaStatus),
        false => (ON_MYSQL, Privilege::PerformanceSchema),
    };
    match sql_query(query).load::<Source>(conn) {
        Ok(sources) => Ok(sources.into_iter().filter_map(|source| source.host).collect()),
        Err(error) => Err(privilege::explain(conn, privilege, error)),
    }
}

fn members<C: MysqlSession>(conn: &mut C) -> Result<Vec<Member>, OperatorError> {
    const QUERY: &str = "
        SELECT MEMBER_ROLE AS role, MEMBER_ID = @@server_uuid AS asked
        FROM performance_schema.replication_group_members WHERE MEMBER_STATE <> 'OFFLINE'";
    sql_query(QUERY).load(conn).map_err(|error| privilege::explain(conn, Privilege::PerformanceSchema, error))
}

#[derive(QueryableByName)]
struct Session {
    #[diesel(sql_type = Unsigned<BigInt>)]
    id: u64,
}

fn connection_ids<C: MysqlSession>(conn: &mut C) -> QueryResult<Vec<u64>> {
    const TIMES: usize = 5;
    // Not prepared once and for all: what is prepared may be what ties a proxy to a session.
    let mut ask = || sql_query("SELECT CONNECTION_ID() AS id").get_result(conn).map(|session: Session| session.id);
    (0..TIMES).map(|_| ask()).collect()
}
