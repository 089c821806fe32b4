//! Whether the session still answers.

use diesel::{IntoSql, RunQueryDsl, result::QueryResult, select, sql_types::Integer};

use crate::session::{self, MysqlSession};

/// One round trip on a warm connection. Asks once more after an error: it may have been `KILL QUERY`.
///
/// # Errors
///
/// Where the session is gone, or was struck twice.
pub(crate) fn ping<C: MysqlSession>(conn: &mut C) -> QueryResult<()> {
    let mut ask = || {
        let answer: QueryResult<i32> = select(1.into_sql::<Integer>()).get_result(conn);
        answer.map(drop).inspect_err(|_| session::forget_statements(conn))
    };
    ask().or_else(|_| ask())
}
