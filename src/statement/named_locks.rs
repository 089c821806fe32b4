//! The locks of the whole server, their holders and waiters.

use diesel::{
    QueryableByName, RunQueryDsl, deserialize,
    dsl::sql,
    mysql::Mysql,
    result::QueryResult,
    select, sql_query,
    sql_types::{BigInt, Bool, Nullable, Text, Unsigned},
};

use super::{
    privilege::{self, Privilege},
    process_list::Process,
};
use crate::{driver::MysqlSession, operator_error::OperatorError};

/// A session that holds a named lock or waits for one.
#[derive(QueryableByName)]
pub(crate) struct Party {
    /// `None` where the server does not say for which lock it waits.
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) name: Option<String>,
    #[diesel(sql_type = Bool)]
    pub(crate) holds: bool,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub(crate) held_ms: Option<i64>,
    #[diesel(sql_type = Unsigned<BigInt>)]
    pub(crate) connection_id: u64,
    #[diesel(embed)]
    pub(crate) process: Process,
}

/// Who holds and who waits, the waiters of each lock in their order.
pub(crate) fn parties<C: MysqlSession>(conn: &mut C) -> Result<Vec<Party>, OperatorError> {
    match select(sql::<Bool>("VERSION() LIKE '%MariaDB%'")).get_result(conn)? {
        false => on_mysql(conn),
        true => on_mariadb(conn),
    }
}

fn on_mysql<C: MysqlSession>(conn: &mut C) -> Result<Vec<Party>, OperatorError> {
    // Nobody waits but in the last thing that a statement does, so the order of their begins is that of the queue. Where
    // these are not recorded (consumer `events_statements_current`), there are only whole seconds.
    const QUERY: &str = "
        SELECT l.OBJECT_NAME AS name, l.LOCK_STATUS = 'GRANTED' AS holds, NULL AS held_ms,
               t.PROCESSLIST_ID AS connection_id, t.PROCESSLIST_USER AS user, t.PROCESSLIST_HOST AS host,
               t.PROCESSLIST_DB AS db, LEFT(t.PROCESSLIST_INFO, 1024) AS info, t.PROCESSLIST_TIME AS time
        FROM performance_schema.metadata_locks l
        JOIN performance_schema.threads t ON t.THREAD_ID = l.OWNER_THREAD_ID
        LEFT JOIN performance_schema.events_statements_current s
            ON s.THREAD_ID = t.THREAD_ID AND s.NESTING_EVENT_LEVEL = 0
        WHERE l.OBJECT_TYPE = 'USER LEVEL LOCK'
        ORDER BY s.TIMER_START, t.PROCESSLIST_TIME DESC, t.PROCESSLIST_ID";

    instrumented(conn)?;
    ask(conn, Privilege::PerformanceSchema, QUERY)
}

/// The Performance Schema, which is switched off by default, tells all; but not what prepared statement a session runs. The
/// plugin tells the holders only: who waits then stands in the process list, but not for what.
fn on_mariadb<C: MysqlSession>(conn: &mut C) -> Result<Vec<Party>, OperatorError> {
    const PLACED: &str = "
        SELECT l.OBJECT_NAME AS name, l.LOCK_STATUS = 'GRANTED' AS holds, NULL AS held_ms, p.ID AS connection_id,
               p.USER AS user, p.HOST AS host, p.DB AS db, LEFT(p.INFO, 1024) AS info, p.TIME AS time
        FROM performance_schema.metadata_locks l
        JOIN performance_schema.threads t ON t.THREAD_ID = l.OWNER_THREAD_ID
        JOIN information_schema.PROCESSLIST p ON p.ID = t.PROCESSLIST_ID
        WHERE l.OBJECT_TYPE = 'USER LEVEL LOCK'
        ORDER BY p.TIME_MS DESC";

    // Without the privilege, the process list is no error, but shows this account's own sessions only. This is an error.
    ask::<_, Count>(conn, Privilege::Process, "SELECT COUNT(*) AS count FROM information_schema.INNODB_TRX")?;
    if instrumented(conn).is_ok() {
        return ask(conn, Privilege::PerformanceSchema, PLACED);
    }
    // Only some versions have the time. (The manual mentions it for none.)
    let held_ms = match plugin_columns(conn, "%")? {
        0 => {
            return Err(OperatorError::NotListed {
                reason: "its plugin `metadata_lock_info` is not installed",
                remedy: "INSTALL SONAME 'metadata_lock_info'",
            });
        }
        _ if plugin_columns(conn, "LOCK_TIME_MS")? > 0 => "CAST(l.LOCK_TIME_MS AS SIGNED)",
        _ => "NULL",
    };
    let query = format!(
        "SELECT l.TABLE_SCHEMA AS name, TRUE AS holds, {held_ms} AS held_ms, l.THREAD_ID AS connection_id,
                p.USER AS user, p.HOST AS host, p.DB AS db, LEFT(p.INFO, 1024) AS info, p.TIME AS time, 0 AS waited
         FROM information_schema.METADATA_LOCK_INFO l LEFT JOIN information_schema.PROCESSLIST p ON p.ID = l.THREAD_ID
         WHERE l.LOCK_TYPE = 'User lock'
         UNION ALL
         SELECT NULL, FALSE, NULL, ID, USER, HOST, DB, LEFT(INFO, 1024), TIME, TIME_MS
         FROM information_schema.PROCESSLIST WHERE STATE = 'User lock'
         ORDER BY waited DESC"
    );
    ask(conn, Privilege::Process, &query)
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// How many columns like this the plugin's table has.
fn plugin_columns<C: MysqlSession>(conn: &mut C, like: &str) -> QueryResult<i64> {
    const QUERY: &str = "
        SELECT COUNT(*) AS count FROM information_schema.COLUMNS
        WHERE TABLE_SCHEMA = 'information_schema' AND TABLE_NAME = 'METADATA_LOCK_INFO' AND COLUMN_NAME LIKE ?";
    sql_query(QUERY).bind::<Text, _>(like).get_result::<Count>(conn).map(|found| found.count)
}

#[derive(QueryableByName)]
struct Instrumentation {
    #[diesel(sql_type = Bool)]
    built_in: bool,
    #[diesel(sql_type = Bool)]
    consumer: bool,
    #[diesel(sql_type = Bool)]
    instrument: bool,
}

/// Whether the Performance Schema lists named locks.
fn instrumented<C: MysqlSession>(conn: &mut C) -> Result<(), OperatorError> {
    const QUERY: &str = "
        SELECT @@performance_schema = 1 AS built_in,
               EXISTS (SELECT 1 FROM performance_schema.setup_consumers
                       WHERE NAME = 'global_instrumentation' AND ENABLED = 'YES') AS consumer,
               EXISTS (SELECT 1 FROM performance_schema.setup_instruments
                       WHERE NAME = 'wait/lock/metadata/sql/mdl' AND ENABLED = 'YES') AS instrument";

    let found = ask::<_, Instrumentation>(conn, Privilege::PerformanceSchema, QUERY)?;
    let (reason, remedy) = match found.first() {
        Some(Instrumentation { built_in: false, .. }) | None => {
            ("its Performance Schema is off", "put `performance_schema = ON` into its configuration and start it again")
        }
        Some(Instrumentation { consumer: false, .. }) => (
            "the consumer `global_instrumentation` is off",
            "UPDATE performance_schema.setup_consumers SET ENABLED = 'YES' WHERE NAME = 'global_instrumentation'",
        ),
        Some(Instrumentation { instrument: false, .. }) => (
            "the instrument `wait/lock/metadata/sql/mdl` is off",
            "UPDATE performance_schema.setup_instruments SET ENABLED = 'YES' WHERE NAME = 'wait/lock/metadata/sql/mdl'",
        ),
        Some(_) => return Ok(()),
    };
    Err(OperatorError::NotListed { reason, remedy })
}

fn ask<C: MysqlSession, R>(conn: &mut C, privilege: Privilege, query: &str) -> Result<Vec<R>, OperatorError>
where
    R: deserialize::QueryableByName<Mysql> + 'static,
{
    sql_query(query).load(conn).map_err(|error| privilege::explain(conn, privilege, error))
}
