//! Which server a connection leads to, and how long that one waits for it.

use diesel::{
    mysql::Mysql,
    query_builder::{AstPass, Query, QueryFragment},
    result::QueryResult,
    sql_types::{BigInt, Binary, Nullable},
};

use super::{
    Statement, cached,
    held_on::{SERVER_RUN, ServerRun},
    session_timeouts::{AskTimeouts, Timeouts},
};

/// The server that a connection leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Whereabouts {
    /// The same after a restart.
    pub(crate) place: Place,
    pub(crate) run: ServerRun,
    /// Whether ordinary accounts can't write there.
    pub(crate) is_read_only: bool,
    pub(crate) timeouts: Timeouts,
}

/// A server's host, port, data folder and ids. Each alone may be the same on two servers: the UUID, too, if the data folder was copied.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Place(pub(crate) String);

pub(crate) struct AskWhereabouts;

impl QueryFragment<Mysql> for AskWhereabouts {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        // MariaDB has no such variable, and skips comments of MySQL 5.7 and later ("Comment Syntax", in its manual).
        out.push_sql(
            "CAST(CONCAT(@@hostname, ':', @@port, ' ', @@datadir, ' server_id ', @@server_id \
             /*!80000 , ' ', @@server_uuid */) AS BINARY), ",
        );
        out.push_sql(SERVER_RUN);
        out.push_sql(", CAST(@@global.read_only AS SIGNED), ");
        AskTimeouts.walk_ast(out.reborrow())?;
        Ok(())
    }
}

impl Query for AskWhereabouts {
    type SqlType = (Nullable<Binary>, Nullable<Binary>, Nullable<BigInt>, <AskTimeouts as Query>::SqlType);
}

cached!(AskWhereabouts => AskWhereabouts);

impl Statement for AskWhereabouts {
    type Row = (Option<Vec<u8>>, Option<Vec<u8>>, Option<i64>, <AskTimeouts as Statement>::Row);
    type Answer = Whereabouts;

    fn read(&self, (place, run, read_only, timeouts): Self::Row) -> Whereabouts {
        let place = Place(String::from_utf8_lossy(&place.unwrap_or_default()).into_owned());
        let (run, timeouts) = (ServerRun(run.unwrap_or_default()), AskTimeouts.read(timeouts));
        Whereabouts { place, run, is_read_only: read_only == Some(1), timeouts }
    }
}
