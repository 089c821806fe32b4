//! Which database is the current one.

use diesel::{
    RunQueryDsl,
    dsl::sql,
    result::QueryResult,
    sql_types::{Binary, Nullable},
};

use crate::driver::{retry::retry, status::NamedLockConnection};

/// The name of the current database, if there is one.
///
/// As bytes, which are UTF-8: a text, the server converts to the session's character set, and if that lacks a character,
/// to `?`. With a limit, for `sql_select_limit` may be 0.
pub(crate) fn current<C: NamedLockConnection>(conn: &mut C) -> QueryResult<Option<String>> {
    let name: Option<Vec<u8>> =
        retry(conn, |conn| sql::<Nullable<Binary>>("SELECT CAST(DATABASE() AS BINARY) LIMIT 1").get_result(conn))?;
    Ok(name.map(|name| String::from_utf8_lossy(&name).into_owned()))
}
