//! Whether the session still answers.

use diesel::{IntoSql, RunQueryDsl, result::QueryResult, select, sql_types::Integer};

use crate::driver::{MysqlSession, retry::retry};

/// One round trip on a warm connection. Asked again after an error, which may have been `KILL QUERY`.
///
/// # Errors
///
/// Where the session is gone, or was struck at each attempt.
pub(crate) fn ping<C: MysqlSession>(conn: &mut C) -> QueryResult<()> {
    retry(conn, |conn| select(1.into_sql::<Integer>()).get_result::<i32>(conn)).map(drop)
}
