//! What raw SQL has left in a session.

use diesel::{
    mysql::Mysql,
    query_builder::{AstPass, Query, QueryFragment},
    result::QueryResult,
    sql_types::{BigInt, Unsigned},
};

use super::{Statement, cached};
use crate::connection_id::ConnectionId;

/// What was found and removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Leftovers {
    pub(crate) session: ConnectionId,
    /// A lock that was acquired twice counts twice.
    pub(crate) locks: u64,
    /// `None` if the server has no variable for it.
    pub(crate) in_transaction: Option<bool>,
}

/// Releases every named lock of the session.
///
/// The last column is 0 on MySQL; on MariaDB 1, and 2 inside a transaction.
pub(crate) struct ReleaseAllLocks;

/// Only for MySQL, and without effect: it chooses for the next transaction the level that this would have anyway. But inside
/// a transaction it is refused, with error 1568 (MySQL manual, "SET TRANSACTION Statement").
#[derive(Clone, Copy)]
pub(crate) struct FailInTransaction;

/// The error number with which it is refused.
pub(crate) const IN_TRANSACTION: i32 = 1568;

impl QueryFragment<Mysql> for ReleaseAllLocks {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.push_sql("CONNECTION_ID(), RELEASE_ALL_LOCKS(), 0 /*M! + 1 + @@in_transaction */");
        Ok(())
    }
}

impl QueryFragment<Mysql> for FailInTransaction {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.push_sql("SET @@transaction_isolation = @@SESSION.transaction_isolation");
        Ok(())
    }
}

impl Query for ReleaseAllLocks {
    type SqlType = (Unsigned<BigInt>, Unsigned<BigInt>, BigInt);
}

cached!(ReleaseAllLocks => ReleaseAllLocks, FailInTransaction => FailInTransaction);

impl Statement for ReleaseAllLocks {
    type Row = (u64, u64, i64);
    type Answer = Leftovers;

    fn read(&self, (session, locks, state): Self::Row) -> Leftovers {
        let in_transaction = (state != 0).then_some(state == 2);
        Leftovers { session: session.into(), locks, in_transaction }
    }
}

/// As text: what Diesel's own roll-back sends.
pub(crate) const ROLLBACK: &str = "ROLLBACK";
