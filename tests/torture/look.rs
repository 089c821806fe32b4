//! What a connection holds when it comes to a section.

use diesel::{
    MysqlConnection,
    prelude::*,
    result::QueryResult,
    sql_query,
    sql_types::{BigInt, Text, Unsigned},
};

use crate::{
    locking::Conn,
    manager::until_answered,
    message::Message,
    performer::Performer,
    subject::{all_locks, kind},
    violation::{Kind, Violation},
};

#[derive(QueryableByName)]
pub struct Look {
    #[diesel(sql_type = Unsigned<BigInt>)]
    pub id: u64,
    /// Names, with a comma after each.
    #[diesel(sql_type = Text)]
    pub held: String,
}

/// Its session, which holds locks of these [kinds](crate::subject::Subject::kinds) and no others. `None` if it can't be asked. The section
/// will notice.
pub fn look_at(conn: &mut Conn, kinds: &[&str], performer: Performer<'_>) -> Option<u64> {
    judge(until_answered(|| sql_query(query()).get_result(conn)), kinds, performer)
}

pub fn query() -> String {
    let held = all_locks().map(|name| format!("IF(IS_USED_LOCK('{name}') = CONNECTION_ID(), '{name},', '')"));
    format!("SELECT CONNECTION_ID() AS id, CONCAT({}) AS held", held.collect::<Vec<_>>().join(", "))
}

pub fn judge(look: QueryResult<Look>, kinds: &[&str], performer: Performer<'_>) -> Option<u64> {
    let look = look.ok()?;
    if let Some(leak) = leak(&look, kinds) {
        let Performer { process, life, .. } = performer;
        Message::Violation(Violation { what: format!("process {process} (life {life}): {}", leak.what), ..leak })
            .send();
    }
    Some(look.id)
}

/// If the session holds anything else than it should.
pub fn leak(Look { id, held }: &Look, kinds: &[&str]) -> Option<Violation> {
    let mut found: Vec<_> = held.split_terminator(',').map(kind).collect();
    found.sort_unstable();
    let what = format!("connection {id} came to a section with `{held}` instead of `{}`", kinds.join(","));
    (found != kinds).then(|| Violation::new(Kind::Leak, what))
}

/// Whether a session holds one of these locks.
pub fn holds_any<'l>(
    conn: &mut MysqlConnection,
    connection: u64,
    locks: impl Iterator<Item = &'l str>,
) -> QueryResult<bool> {
    #[derive(QueryableByName)]
    struct Held {
        #[diesel(sql_type = BigInt)]
        held: i64,
    }

    let held = locks.map(|name| format!(" + COALESCE(IS_USED_LOCK('{name}') = {connection}, 0)")).collect::<String>();
    let query = sql_query(format!("SELECT CAST(0{held} AS SIGNED) AS held"));
    Ok(query.get_result::<Held>(conn)?.held > 0)
}
