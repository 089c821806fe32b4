//! Which database is the current one.

use diesel::{
    dsl::sql,
    sql_types::{Binary, Nullable},
};

use super::ask_again::{Failed, Unless, again};
use crate::driver::Driver;

/// The name of the current database, if there is one.
///
/// As bytes, which are UTF-8: a text, the server converts to the session's character set, and if that lacks a character,
/// to `?`. With a limit, for `sql_select_limit` may be 0.
pub(crate) async fn current<D: Driver<C>, C>(conn: &mut C) -> Result<Option<String>, Failed> {
    let question = || sql::<Nullable<Binary>>("SELECT CAST(DATABASE() AS BINARY) LIMIT 1");
    let names: Vec<Option<Vec<u8>>> = again!(D, conn, Unless::Interrupted, D::rows(conn, question()).await)?;
    Ok(names.into_iter().flatten().next().map(|name| String::from_utf8_lossy(&name).into_owned()))
}
