//! Who holds a lock.

use std::time::Duration;

use diesel::{
    OptionalExtension, QueryableByName, RunQueryDsl,
    mysql::Mysql,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    result::QueryResult,
    sql_query,
    sql_types::{BigInt, Nullable, Text, Unsigned},
};

use super::name::push_name;
use crate::{
    driver::{MysqlSession, retry::retry},
    holder::Holder,
    name::LockName,
};

/// Who this session is, and who holds the lock. Cached: sections that allow re-entry ask it each time.
struct WhoHolds<'a> {
    name: &'a str,
}

impl Query for WhoHolds<'_> {
    type SqlType = (Unsigned<BigInt>, Nullable<Unsigned<BigInt>>);
}

impl QueryFragment<Mysql> for WhoHolds<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.push_sql("SELECT CONNECTION_ID(), IS_USED_LOCK(");
        push_name(&mut out, self.name)?;
        out.push_sql(")");
        Ok(())
    }
}

impl QueryId for WhoHolds<'_> {
    type QueryId = WhoHolds<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<C> RunQueryDsl<C> for WhoHolds<'_> {}

/// The connection ids of this very session, and of the one that holds the lock; `None` where it is free.
///
/// Asked again after an error, which may have been `KILL QUERY`.
pub(crate) fn who_holds<C: MysqlSession>(conn: &mut C, name: &LockName) -> QueryResult<(u64, Option<u64>)> {
    retry(conn, |conn| WhoHolds { name: name.as_str() }.get_result(conn))
}

/// What the server's process list says of a session; nothing where it does not show it.
#[derive(QueryableByName, Default)]
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
    pub(crate) fn into_holder(self, connection_id: u64) -> Holder {
        let state_for = self.time.and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs);
        Holder { connection_id, user: self.user, host: self.host, database: self.db, statement: self.info, state_for }
    }
}

/// The session that holds the lock, described as far as the server lets this account see it.
pub(crate) fn holder<C: MysqlSession>(conn: &mut C, name: &LockName) -> QueryResult<Option<Holder>> {
    let (_, holder) = who_holds(conn, name)?;
    Ok(holder.map(|connection_id| describe(conn, connection_id)))
}

/// A session as far as the server lets this account see it.
pub(crate) fn describe<C: MysqlSession>(conn: &mut C, connection_id: u64) -> Holder {
    // Without the PROCESS privilege there is no row; the id stands for itself.
    let process: Option<Process> = sql_query(
        "SELECT USER AS user, HOST AS host, DB AS db, LEFT(INFO, 1024) AS info, TIME AS time \
         FROM information_schema.PROCESSLIST WHERE ID = ?",
    )
    .bind::<Unsigned<BigInt>, _>(connection_id)
    .get_result(conn)
    .optional()
    .unwrap_or_default();
    process.unwrap_or_default().into_holder(connection_id)
}
