//! Who holds a lock.

use std::time::Duration;

use diesel::{
    OptionalExtension, QueryableByName, RunQueryDsl,
    result::QueryResult,
    sql_query,
    sql_types::{BigInt, Nullable, Text, Unsigned},
};

use crate::{Holder, LockName, session::MysqlSession};

#[derive(QueryableByName)]
struct Id {
    #[diesel(sql_type = Nullable<Unsigned<BigInt>>)]
    id: Option<u64>,
}

#[derive(QueryableByName)]
struct Process {
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

/// The connection id of this very session.
pub(crate) fn own_id<C: MysqlSession>(conn: &mut C) -> QueryResult<u64> {
    let row: Id = sql_query("SELECT CONNECTION_ID() AS id").get_result(conn)?;
    row.id.ok_or(diesel::result::Error::NotFound)
}

/// The connection id of the session that holds the lock; `None` where it is free.
pub(crate) fn holder_id<C: MysqlSession>(conn: &mut C, name: &LockName) -> QueryResult<Option<u64>> {
    let row: Id = sql_query("SELECT IS_USED_LOCK(?) AS id").bind::<Text, _>(name.as_str()).get_result(conn)?;
    Ok(row.id)
}

/// The session that holds the lock, described as far as the server lets this account see it.
pub(crate) fn holder<C: MysqlSession>(conn: &mut C, name: &LockName) -> QueryResult<Option<Holder>> {
    let Some(connection_id) = holder_id(conn, name)? else { return Ok(None) };
    // Without the PROCESS privilege there is no row; the id stands for itself.
    let process: Option<Process> = sql_query(
        "SELECT USER AS user, HOST AS host, DB AS db, LEFT(INFO, 1024) AS info, TIME AS time \
         FROM information_schema.PROCESSLIST WHERE ID = ?",
    )
    .bind::<Unsigned<BigInt>, _>(connection_id)
    .get_result(conn)
    .optional()
    .unwrap_or_default();
    Ok(Some(describe(connection_id, process)))
}

fn describe(connection_id: u64, process: Option<Process>) -> Holder {
    let (user, host, database, statement, time) =
        process.map_or_else(Default::default, |p| (p.user, p.host, p.db, p.info, p.time));
    let state_for = time.and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs);
    Holder { connection_id, user, host, database, statement, state_for }
}
