//! The holder of a lock.

use diesel::{
    mysql::Mysql,
    query_builder::{AstPass, Query, QueryFragment},
    result::QueryResult,
    sql_types::{BigInt, Integer, Nullable, Unsigned},
};

use super::{Statement, cached, push_name};
use crate::{connection_id::ConnectionId, name::LockName};

/// The session that asked, and the one that holds the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Holding {
    /// The value of `CONNECTION_ID()`.
    pub(crate) asker: ConnectionId,
    pub(crate) holder: Option<ConnectionId>,
    /// MariaDB only: whether the asker is inside a transaction, which raw SQL may have begun.
    pub(crate) in_transaction: bool,
}

impl Holding {
    pub(crate) fn is_free(self) -> bool {
        self.holder.is_none()
    }

    pub(crate) fn is_asker(self) -> bool {
        self.holder == Some(self.asker)
    }
}

pub(crate) struct WhoHolds<'a> {
    pub(crate) name: &'a LockName,
}

impl QueryFragment<Mysql> for WhoHolds<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.push_sql("CONNECTION_ID(), IS_USED_LOCK(");
        push_name(&mut out, self.name)?;
        out.push_sql("), 0 /*M! + @@in_transaction */");
        Ok(())
    }
}

impl Query for WhoHolds<'_> {
    type SqlType = (Unsigned<BigInt>, Nullable<Unsigned<BigInt>>, Integer);
}

cached!(WhoHolds<'_> => WhoHolds<'static>);

impl Statement for WhoHolds<'_> {
    type Row = (u64, Option<u64>, i32);
    type Answer = Holding;

    fn read(&self, (asker, holder, in_transaction): Self::Row) -> Holding {
        let (asker, holder) = (asker.into(), holder.map(ConnectionId::from));
        Holding { asker, holder, in_transaction: in_transaction != 0 }
    }
}
