//! Which database is the current one.

use diesel::{
    RunQueryDsl,
    dsl::sql,
    result::QueryResult,
    select,
    sql_types::{Binary, Nullable},
};

use crate::driver::NamedLockConnection;

/// The name of the current database, if there is one.
///
/// As bytes, which are UTF-8: a text, the server converts to the session's character set, and where that lacks a character,
/// to `?`.
pub(crate) fn current<C: NamedLockConnection>(conn: &mut C) -> QueryResult<Option<String>> {
    let name: Option<Vec<u8>> = select(sql::<Nullable<Binary>>("CAST(DATABASE() AS BINARY)")).get_result(conn)?;
    Ok(name.map(|name| String::from_utf8_lossy(&name).into_owned()))
}
