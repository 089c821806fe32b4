//! The version of the server.

use diesel::{
    QueryableByName,
    result::{Error, QueryResult},
    sql_types::Text,
};

use super::question::ask;
use crate::driver::Driver;

/// The server's answer to `VERSION()`.
#[derive(QueryableByName)]
pub(crate) struct Version {
    #[diesel(sql_type = Text)]
    version: String,
}

impl Version {
    pub(crate) fn is_mariadb(&self) -> bool {
        self.version.contains("MariaDB")
    }

    pub(crate) fn into_string(self) -> String {
        self.version
    }
}

/// With a limit, because `sql_select_limit` may be 0.
pub(crate) async fn version<D: Driver<C>, C>(conn: &mut C) -> QueryResult<Version> {
    let answer = ask::<D, C, Version>(conn, "SELECT VERSION() AS version LIMIT 1").await;
    answer.map_err(|failed| failed.error)?.pop().ok_or(Error::NotFound)
}
