//! The locks of the whole server, their holders and waiters.

use diesel::{
    QueryableByName,
    result::Error,
    sql_types::{BigInt, Bool, Nullable, Text, Unsigned},
};

use super::{
    ask_again::Failed,
    privilege::{self, Privilege},
    process_list::Process,
    question::{ask, ask_privileged},
    version::version,
};
use crate::{driver::Driver, operator_error::OperatorError};

/// A session that holds a named lock or waits for one.
#[derive(QueryableByName)]
pub(crate) struct Party {
    /// `None` if the server does not say for which lock it waits.
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

/// Returns holders and waiters, the waiters of each lock in their order.
pub(crate) async fn parties<D: Driver<C>, C>(conn: &mut C) -> Result<Vec<Party>, OperatorError> {
    match version::<D, C>(conn).await?.is_mariadb() {
        false => on_mysql::<D, C>(conn).await,
        true => on_mariadb::<D, C>(conn).await,
    }
}

async fn on_mysql<D: Driver<C>, C>(conn: &mut C) -> Result<Vec<Party>, OperatorError> {
    // A statement waits only in its last step, so the order of the statements' starts is the order of the queue. If the starts are not recorded
    // (consumer `events_statements_current`), there are only whole seconds.
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

    instrumented::<D, C>(conn).await?;
    ask_privileged::<D, C, _>(conn, Privilege::PerformanceSchema, QUERY).await
}

/// The Performance Schema, which is switched off by default, has everything except the text of a prepared statement. The plugin has the holders
/// only. The process list then has the waiters, but not the locks that they wait for.
async fn on_mariadb<D: Driver<C>, C>(conn: &mut C) -> Result<Vec<Party>, OperatorError> {
    const PLACED: &str = "
        SELECT l.OBJECT_NAME AS name, l.LOCK_STATUS = 'GRANTED' AS holds, NULL AS held_ms, p.ID AS connection_id,
               p.USER AS user, p.HOST AS host, p.DB AS db, LEFT(p.INFO, 1024) AS info, p.TIME AS time
        FROM performance_schema.metadata_locks l
        JOIN performance_schema.threads t ON t.THREAD_ID = l.OWNER_THREAD_ID
        JOIN information_schema.PROCESSLIST p ON p.ID = t.PROCESSLIST_ID
        WHERE l.OBJECT_TYPE = 'USER LEVEL LOCK'
        ORDER BY p.TIME_MS DESC";

    // Without the privilege, the process list returns no error, but only this account's own sessions. This question returns an error.
    ask_privileged::<D, C, Count>(
        conn,
        Privilege::Process,
        "SELECT COUNT(*) AS count FROM information_schema.INNODB_TRX",
    )
    .await?;
    match instrumented::<D, C>(conn).await {
        Ok(()) => return ask_privileged::<D, C, _>(conn, Privilege::PerformanceSchema, PLACED).await,
        Err(error @ OperatorError::Database(_)) => return Err(error),
        Err(_) => {}
    }
    by_the_plugin::<D, C>(conn).await
}

async fn by_the_plugin<D: Driver<C>, C>(conn: &mut C) -> Result<Vec<Party>, OperatorError> {
    const UNKNOWN_COLUMN: i32 = 1054;
    const UNKNOWN_TABLE: i32 = 1109;

    // Only some versions have the time. (The manual mentions it for none.)
    let with_time = ask::<D, C, _>(conn, &plugin_query("CAST(l.LOCK_TIME_MS AS SIGNED)")).await;
    let answer = match with_time {
        Err(Failed { number: Some(UNKNOWN_COLUMN), .. }) => ask::<D, C, _>(conn, &plugin_query("NULL")).await,
        answer => answer,
    };
    match answer {
        Ok(parties) => Ok(parties),
        Err(Failed { number: Some(UNKNOWN_TABLE), .. }) => Err(OperatorError::ListUnavailable {
            reason: "its plugin `metadata_lock_info` is not installed",
            remedy: "INSTALL SONAME 'metadata_lock_info'",
        }),
        Err(failed) => Err(privilege::explain_failed::<D, C>(conn, Privilege::Process, failed).await),
    }
}

/// `held_ms` is the expression for the time that a lock has been held.
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
async fn instrumented<D: Driver<C>, C>(conn: &mut C) -> Result<(), OperatorError> {
    const QUERY: &str = "
        SELECT 'performance_schema' AS name, @@performance_schema = 1 AS is_on
        UNION ALL
        SELECT NAME, ENABLED = 'YES' FROM performance_schema.setup_consumers WHERE NAME = 'global_instrumentation'
        UNION ALL
        SELECT NAME, ENABLED = 'YES' FROM performance_schema.setup_instruments WHERE NAME = 'wait/lock/metadata/sql/mdl'";

    let switches = ask_privileged::<D, C, Switch>(conn, Privilege::PerformanceSchema, QUERY).await?;
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
