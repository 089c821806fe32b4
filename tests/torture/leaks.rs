//! While no worker runs a section, no lock is held.

use std::{
    thread,
    time::{Duration, Instant},
};

use diesel::{
    MysqlConnection,
    prelude::*,
    result::QueryResult,
    sql_query,
    sql_types::{BigInt, Nullable, Text, Unsigned},
};

use crate::{
    history::Event,
    subject::all_locks,
    tables::events,
    violation::{Kind, Violation},
};

#[derive(QueryableByName)]
struct Holder {
    #[diesel(sql_type = Nullable<Unsigned<BigInt>>)]
    id: Option<u64>,
    #[diesel(sql_type = Nullable<Text>)]
    state: Option<String>,
}

/// The locks that stay held, for so long. (The server ends a session that was killed sooner, however busy it is.)
pub fn look(conn: &mut MysqlConnection, limit: Duration) -> QueryResult<Vec<Violation>> {
    let mut violations = Vec::new();
    let start = Instant::now();
    for name in all_locks() {
        while let Some(id) = holder(conn, name)?.id {
            if start.elapsed() > limit {
                violations.push(describe(conn, name, id, limit)?);
                break;
            }
            thread::sleep(Duration::from_millis(2));
        }
    }
    Ok(violations)
}

fn holder(conn: &mut MysqlConnection, name: &str) -> QueryResult<Holder> {
    let query = "SELECT IS_USED_LOCK(?) AS id, NULL AS state";
    sql_query(query).bind::<Text, _>(name).get_result(conn)
}

fn describe(conn: &mut MysqlConnection, name: &str, id: u64, limit: Duration) -> QueryResult<Violation> {
    let query = format!(
        "SELECT {id} AS id, CONCAT_WS(' ', COMMAND, TIME, STATE, INFO) AS state \
         FROM information_schema.PROCESSLIST WHERE ID = {id}"
    );
    let state = sql_query(query).get_result::<Holder>(conn).optional()?.and_then(|row| row.state);
    let last: Vec<Event> =
        events::table.filter(events::connection.eq(id)).order(events::id.desc()).limit(4).load(conn)?;
    let what = format!("`{name}` is held by connection {id} while no section runs, for {limit:?} now");
    let violation = Violation::new(Kind::Leak, what).with(format!("process list: {}", state.unwrap_or_default()));
    Ok(last.into_iter().rev().fold(violation, Violation::with))
}
