//! The locks of the whole server, their holders and waiters.

use diesel::{
    QueryableByName, RunQueryDsl,
    dsl::sql,
    result::Error,
    select,
    sql_types::{BigInt, Bool, Nullable, Text, Unsigned},
};

use super::{
    privilege::{self, Privilege},
    process_list::Process,
    question::{Unanswered, ask, ask_privileged},
};
use crate::{
    driver::{retry::retry, status::NamedLockConnection},
    operator_error::OperatorError,
};

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
pub(crate) fn parties<C: NamedLockConnection>(conn: &mut C) -> Result<Vec<Party>, OperatorError> {
    match retry(conn, |conn| select(sql::<Bool>("VERSION() LIKE '%MariaDB%'")).get_result(conn))? {
        false => on_mysql(conn),
        true => on_mariadb(conn),
    }
}

fn on_mysql<C: NamedLockConnection>(conn: &mut C) -> Result<Vec<Party>, OperatorError> {
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
    ask_privileged(conn, Privilege::PerformanceSchema, QUERY)
}

/// The Performance Schema, which is switched off by default, tells all; but not what prepared statement a session runs. The
/// plugin tells the holders only: who waits then stands in the process list, but not for what.
fn on_mariadb<C: NamedLockConnection>(conn: &mut C) -> Result<Vec<Party>, OperatorError> {
    const PLACED: &str = "
        SELECT l.OBJECT_NAME AS name, l.LOCK_STATUS = 'GRANTED' AS holds, NULL AS held_ms, p.ID AS connection_id,
               p.USER AS user, p.HOST AS host, p.DB AS db, LEFT(p.INFO, 1024) AS info, p.TIME AS time
        FROM performance_schema.metadata_locks l
        JOIN performance_schema.threads t ON t.THREAD_ID = l.OWNER_THREAD_ID
        JOIN information_schema.PROCESSLIST p ON p.ID = t.PROCESSLIST_ID
        WHERE l.OBJECT_TYPE = 'USER LEVEL LOCK'
        ORDER BY p.TIME_MS DESC";

    // Without the privilege, the process list is no error, but shows this account's own sessions only. This is an error.
    ask_privileged::<_, Count>(
        conn,
        Privilege::Process,
        "SELECT COUNT(*) AS count FROM information_schema.INNODB_TRX",
    )?;
    match instrumented(conn) {
        Ok(()) => return ask_privileged(conn, Privilege::PerformanceSchema, PLACED),
        Err(error @ OperatorError::Database(_)) => return Err(error),
        Err(_) => {}
    }
    by_the_plugin(conn)
}

fn by_the_plugin<C: NamedLockConnection>(conn: &mut C) -> Result<Vec<Party>, OperatorError> {
    const UNKNOWN_COLUMN: i32 = 1054;
    const UNKNOWN_TABLE: i32 = 1109;

    // Only some versions have the time. (The manual mentions it for none.)
    let with_time = ask(conn, &plugin_query("CAST(l.LOCK_TIME_MS AS SIGNED)"));
    let answer = match with_time {
        Err(Unanswered { number: Some(UNKNOWN_COLUMN), .. }) => ask(conn, &plugin_query("NULL")),
        answer => answer,
    };
    answer.map_err(|Unanswered { number, error }| match number {
        Some(UNKNOWN_TABLE) => OperatorError::ListUnavailable {
            reason: "its plugin `metadata_lock_info` is not installed",
            remedy: "INSTALL SONAME 'metadata_lock_info'",
        },
        number => privilege::explain_number(conn, Privilege::Process, number, error),
    })
}

/// `held_ms` is what tells for how long a lock has been held.
fn plugin_query(held_ms: &str) -> String {
    format!(
        "SELECT l.TABLE_SCHEMA AS name, TRUE AS holds, {held_ms} AS held_ms, l.THREAD_ID AS connection_id,
                p.USER AS user, p.HOST AS host, p.DB AS db, LEFT(p.INFO, 1024) AS info, p.TIME AS time, 0 AS waited
         FROM information_schema.METADATA_LOCK_INFO l LEFT JOIN information_schema.PROCESSLIST p ON p.ID = l.THREAD_ID
         WHERE l.LOCK_TYPE = 'User lock'
         UNION ALL
         SELECT NULL, FALSE, NULL, ID, USER, HOST, DB, LEFT(INFO, 1024), TIME, TIME_MS
         FROM information_schema.PROCESSLIST WHERE STATE = 'User lock'
         ORDER BY waited DESC"
    )
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    #[diesel(column_name = count)]
    _count: i64,
}

#[derive(QueryableByName)]
struct Switch {
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Bool)]
    is_on: bool,
}

/// Whether the Performance Schema lists named locks.
fn instrumented<C: NamedLockConnection>(conn: &mut C) -> Result<(), OperatorError> {
    const QUERY: &str = "
        SELECT 'performance_schema' AS name, @@performance_schema = 1 AS is_on
        UNION ALL
        SELECT NAME, ENABLED = 'YES' FROM performance_schema.setup_consumers WHERE NAME = 'global_instrumentation'
        UNION ALL
        SELECT NAME, ENABLED = 'YES' FROM performance_schema.setup_instruments WHERE NAME = 'wait/lock/metadata/sql/mdl'";

    let switches: Vec<Switch> = ask_privileged(conn, Privilege::PerformanceSchema, QUERY)?;
    // Without the Performance Schema, its tables are empty.
    let off = |name: &str| {
        let switch = switches.iter().find(|switch| switch.name == name);
        switch.map(|switch| !switch.is_on).ok_or(Error::NotFound)
    };
    let (reason, remedy) = if off("performance_schema")? {
        ("its Performance Schema is off", "put `performance_schema = ON` into its configuration and start it again")
    } else if off("global_instrumentation")? {
        (
            "the consumer `global_instrumentation` is off",
            "UPDATE performance_schema.setup_consumers SET ENABLED = 'YES' WHERE NAME = 'global_instrumentation'",
        )
    } else if off("wait/lock/metadata/sql/mdl")? {
        (
            "the instrument `wait/lock/metadata/sql/mdl` is off",
            "UPDATE performance_schema.setup_instruments SET ENABLED = 'YES' WHERE NAME = 'wait/lock/metadata/sql/mdl'",
        )
    } else {
        return Ok(());
    };
    Err(OperatorError::ListUnavailable { reason, remedy })
}
