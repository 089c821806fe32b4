//! Who holds a lock, and on which server: for an answer that may come from another connection than that of the lock.

use diesel::{
    mysql::Mysql,
    query_builder::{AstPass, Query, QueryFragment},
    result::QueryResult,
    sql_types::{Binary, Nullable},
};

use super::{
    Statement, cached,
    who_holds::{Holding, WhoHolds},
};
use crate::name::LockName;

/// One run of one server process: its number, the second in which it was started, its port and its host.
///
/// `UUID_SHORT()` has the first two above its lowest 24 bits, in both manuals ("Miscellaneous Functions"). After a restart, and on another
/// server, another session may have the same id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerRun(pub(super) Vec<u8>);

/// The column of it.
pub(super) const SERVER_RUN: &str = "CAST(CONCAT_WS(' ', UUID_SHORT() >> 24, @@port, @@hostname) AS BINARY)";

pub(crate) struct HeldOn<'a>(WhoHolds<'a>);

impl<'a> HeldOn<'a> {
    pub(crate) fn new(name: &'a LockName) -> Self {
        Self(WhoHolds { name })
    }
}

impl QueryFragment<Mysql> for HeldOn<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        self.0.walk_ast(out.reborrow())?;
        out.push_sql(", ");
        out.push_sql(SERVER_RUN);
        Ok(())
    }
}

impl Query for HeldOn<'_> {
    type SqlType = (<WhoHolds<'static> as Query>::SqlType, Nullable<Binary>);
}

cached!(HeldOn<'_> => HeldOn<'static>);

impl Statement for HeldOn<'_> {
    type Row = (<WhoHolds<'static> as Statement>::Row, Option<Vec<u8>>);
    type Answer = (Holding, ServerRun);

    fn read(&self, (holding, server): Self::Row) -> Self::Answer {
        (self.0.read(holding), ServerRun(server.unwrap_or_default()))
    }
}
