//! What a session has asked its server, counted by the server itself.

use diesel::{connection::LoadConnection, mysql::Mysql, prelude::*, sql_query, sql_types::Text};

use crate::world::*;

#[derive(QueryableByName)]
struct Counter {
    #[diesel(sql_type = Text, column_name = Value)]
    value: String,
}

/// Statements executed, each of them a round trip; and statements prepared, each one more.
pub fn asked<C: LoadConnection<Backend = Mysql>>(conn: &mut C) -> (i64, i64) {
    let mut counter = |name: &str| -> i64 {
        let row: Counter = sql_query(format!("SHOW SESSION STATUS LIKE '{name}'")).get_result(conn).expect("a counter");
        row.value.parse().expect("a number")
    };
    (counter("Questions"), counter("Com_stmt_prepare"))
}

/// How many of them `work` adds.
pub fn asked_by<C: LoadConnection<Backend = Mysql>>(conn: &mut C, work: impl FnOnce(&mut C)) -> (i64, i64) {
    let first = asked(conn);
    let second = asked(conn);
    work(conn);
    let third = asked(conn);
    // What the counting itself adds is the same each time.
    (third.0 - second.0 - (second.0 - first.0), third.1 - second.1 - (second.1 - first.1))
}

/// A number that grows with every statement of a session, seen from another one.
pub fn last_statement(session: u64) -> i64 {
    let query = if is_mysql() {
        format!(
            "SELECT CAST(VARIABLE_VALUE AS SIGNED) AS number FROM performance_schema.status_by_thread \
             JOIN performance_schema.threads USING (THREAD_ID) \
             WHERE PROCESSLIST_ID = {session} AND VARIABLE_NAME = 'Questions'"
        )
    } else {
        format!("SELECT QUERY_ID AS number FROM information_schema.PROCESSLIST WHERE ID = {session}")
    };
    number(&mut connect(), &query).expect("a session")
}
