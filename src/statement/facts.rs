//! What a server says about itself, as far as it concerns named locks.

use std::collections::HashMap;

use diesel::{
    QueryableByName,
    result::{Error, QueryResult},
    sql_types::{BigInt, Bool, Nullable, Text, Unsigned},
};

use super::{
    privilege::Privilege,
    question::{ask, ask_privileged},
    version::version,
};
use crate::{driver::Driver, operator_error::OperatorError};

/// Variables of a server, by their names in upper case: those that it has.
pub(crate) type Variables = HashMap<String, String>;

pub(crate) struct Facts {
    pub(crate) version: String,
    /// As they are for this session.
    pub(crate) variables: Variables,
    /// As they are for new sessions.
    pub(crate) global_variables: Variables,
    /// Of a Galera node only.
    pub(crate) status: Variables,
    /// The servers that it replicates from.
    pub(crate) sources: Result<Vec<String>, OperatorError>,
    /// The members of its Group Replication group; none if it is configured for no group.
    pub(crate) members: Result<Vec<Member>, OperatorError>,
    /// What it answered when it was asked several times who this session is.
    pub(crate) connection_ids: Vec<u64>,
    /// Whether MySQL Router told the server for which client it opened this session.
    pub(crate) by_router: bool,
}

/// A member of a group, as the server that was asked sees it.
#[derive(QueryableByName)]
pub(crate) struct Member {
    #[diesel(sql_type = Text)]
    pub(crate) role: String,
    #[diesel(sql_type = Text)]
    pub(crate) state: String,
    /// Whether it is the server that was asked.
    #[diesel(sql_type = Bool)]
    pub(crate) asked: bool,
}

/// Asks for all of it. What this account may not see is an error in its place.
pub(crate) async fn gather<D: Driver<C>, C>(conn: &mut C) -> QueryResult<Facts> {
    let version = version::<D, C>(conn).await?;
    let variables = variables::<D, C>(conn, VARIABLES).await?;
    let global_variables = self::variables::<D, C>(conn, GLOBAL_VARIABLES).await?;
    let status = match variables.contains_key("WSREP_ON") {
        true => self::variables::<D, C>(conn, STATUS).await?,
        false => Variables::new(),
    };
    let sources = sources::<D, C>(conn, version.is_mariadb()).await;
    let members = match variables.get("GROUP_REPLICATION_GROUP_NAME") {
        Some(group) if !group.is_empty() => members::<D, C>(conn).await,
        _ => Ok(Vec::new()),
    };
    let connection_ids = connection_ids::<D, C>(conn).await?;
    let by_router = by_router::<D, C>(conn).await;
    let version = version.into_string();
    Ok(Facts { version, variables, global_variables, status, sources, members, connection_ids, by_router })
}

const VARIABLES: &str = "
    SHOW VARIABLES WHERE Variable_name IN (
        'version_comment', 'read_only', 'super_read_only', 'innodb_read_only', 'wsrep_on', 'wsrep_cluster_name',
        'group_replication_group_name', 'group_replication_single_primary_mode', 'aurora_version', 'autocommit',
        'wait_timeout', 'idle_transaction_timeout', 'max_execution_time', 'max_statement_time', 'thread_handling',
        'thread_pool_max_threads', 'max_connections')";
const GLOBAL_VARIABLES: &str = "SHOW GLOBAL VARIABLES WHERE Variable_name = 'autocommit'";
const STATUS: &str = "SHOW STATUS WHERE Variable_name = 'wsrep_cluster_status'";

#[derive(QueryableByName)]
struct Variable {
    #[diesel(sql_type = Text)]
    #[diesel(column_name = Variable_name)]
    name: String,
    #[diesel(sql_type = Text)]
    #[diesel(column_name = Value)]
    value: String,
}

async fn variables<D: Driver<C>, C>(conn: &mut C, query: &str) -> QueryResult<Variables> {
    let found = ask::<D, C, Variable>(conn, query).await.map_err(|failed| failed.error)?;
    Ok(found.into_iter().map(|variable| (variable.name.to_uppercase(), variable.value)).collect())
}

#[derive(QueryableByName)]
struct Source {
    #[diesel(sql_type = Nullable<Text>)]
    #[diesel(column_name = Master_Host)]
    host: Option<String>,
}

async fn sources<D: Driver<C>, C>(conn: &mut C, mariadb: bool) -> Result<Vec<String>, OperatorError> {
    // What `SHOW REPLICA STATUS` says; that one can't be prepared. A member of a group catches up over a channel, too.
    const ON_MYSQL: &str = "
        SELECT HOST AS Master_Host FROM performance_schema.replication_connection_configuration
        WHERE LEFT(CHANNEL_NAME, 18) <> 'group_replication_'";

    let (query, privilege) = match mariadb {
        true => ("SHOW ALL SLAVES STATUS", Privilege::ReplicaStatus),
        false => (ON_MYSQL, Privilege::PerformanceSchema),
    };
    let sources = ask_privileged::<D, C, Source>(conn, privilege, query).await?;
    Ok(sources.into_iter().filter_map(|source| source.host).collect())
}

async fn members<D: Driver<C>, C>(conn: &mut C) -> Result<Vec<Member>, OperatorError> {
    // Of a server that has not joined since its start there is one row, without an id.
    const QUERY: &str = "
        SELECT MEMBER_ROLE AS role, MEMBER_STATE AS state, MEMBER_ID IN (@@server_uuid, '') AS asked
        FROM performance_schema.replication_group_members";
    ask_privileged::<D, C, _>(conn, Privilege::PerformanceSchema, QUERY).await
}

#[derive(QueryableByName)]
struct Session {
    #[diesel(sql_type = Unsigned<BigInt>)]
    id: u64,
}

async fn connection_ids<D: Driver<C>, C>(conn: &mut C) -> QueryResult<Vec<u64>> {
    const TIMES: usize = 5;
    // Not prepared once and for all: what is prepared may be what ties a proxy to a session.
    const QUERY: &str = "SELECT CONNECTION_ID() AS id LIMIT 1";

    let mut ids = Vec::new();
    for _ in 0..TIMES {
        let answer = ask::<D, C, Session>(conn, QUERY).await.map_err(|failed| failed.error)?.pop();
        ids.push(answer.ok_or(Error::NotFound)?.id);
    }
    Ok(ids)
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// `false` as well if the server does not record the attributes, or this account may not see its own.
async fn by_router<D: Driver<C>, C>(conn: &mut C) -> bool {
    const QUERY: &str = "
        SELECT COUNT(*) AS count FROM performance_schema.session_account_connect_attrs
        WHERE PROCESSLIST_ID = CONNECTION_ID() AND ATTR_NAME = '_client_ip'";
    ask::<D, C, Count>(conn, QUERY).await.is_ok_and(|found| found.iter().any(|found| found.count > 0))
}
