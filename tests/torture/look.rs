//! What a connection holds when it comes to a section.

use diesel::{
    prelude::*,
    result::QueryResult,
    sql_query,
    sql_types::{BigInt, Text, Unsigned},
};

use crate::{
    locking::Conn,
    message::Message,
    performer::Performer,
    tables::NAMES,
    violation::{Kind, Violation},
};

#[derive(QueryableByName)]
pub struct Look {
    #[diesel(sql_type = Unsigned<BigInt>)]
    id: u64,
    #[diesel(sql_type = Text)]
    held: String,
}

/// Its session, which holds these locks and no others. `None` where it can't be asked: the section will see.
pub fn look_at(conn: &mut Conn, locks: &[&str], performer: Performer<'_>) -> Option<u64> {
    judge(sql_query(query()).get_result(conn), locks, performer)
}

pub fn query() -> String {
    let held = NAMES.map(|name| format!("IF(IS_USED_LOCK('{name}') = CONNECTION_ID(), '{name}', NULL)")).join(", ");
    format!("SELECT CONNECTION_ID() AS id, CONCAT_WS(', ', {held}) AS held")
}

pub fn judge(look: QueryResult<Look>, locks: &[&str], performer: Performer<'_>) -> Option<u64> {
    let Look { id, held } = look.ok()?;
    let mut due = locks.to_vec();
    due.sort_unstable();
    let due = due.join(", ");
    if held != due {
        let Performer { process, life, .. } = performer;
        let what =
            format!("connection {id} came to process {process} (life {life}) holding `{held}` instead of `{due}`");
        Message::Violation(Violation::new(Kind::Leak, what)).send();
    }
    Some(id)
}
