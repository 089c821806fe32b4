//! What raw SQL has left in a session.

use diesel::{
    RunQueryDsl,
    mysql::Mysql,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    result::QueryResult,
    sql_types::{BigInt, Unsigned},
};

use crate::driver::{self, MysqlSession};

/// What was found, and is no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Leftovers {
    pub(crate) session: u64,
    /// A lock that was taken twice counts twice.
    pub(crate) locks: u64,
    pub(crate) transaction: bool,
}

/// The last column: what MySQL has no variable for, 0; on MariaDB, 1, and 2 inside a transaction.
struct ReleaseAllLocks;

/// Only for MySQL, and without effect: it chooses for the next transaction the level that this would have anyway. But inside
/// a transaction it is refused, with error 1568 (MySQL manual, "SET TRANSACTION Statement").
struct FailInTransaction;

impl QueryFragment<Mysql> for ReleaseAllLocks {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.push_sql("SELECT CONNECTION_ID(), RELEASE_ALL_LOCKS(), 0 /*M! + 1 + @@in_transaction */");
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

impl QueryId for ReleaseAllLocks {
    type QueryId = Self;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl QueryId for FailInTransaction {
    type QueryId = Self;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<C> RunQueryDsl<C> for ReleaseAllLocks {}

impl<C> RunQueryDsl<C> for FailInTransaction {}

/// Releases every named lock of the session and rolls back what is open, unless it is to be `kept_open`.
///
/// One round trip on MariaDB, two on MySQL, where there is nothing to do. The locks go first: what is rolled back, nobody
/// has seen.
///
/// # Errors
///
/// Where it was not confirmed. Neither is then known.
pub(crate) fn clear<C: MysqlSession>(conn: &mut C, kept_open: bool) -> QueryResult<Leftovers> {
    let answer: QueryResult<(u64, u64, i64)> = ReleaseAllLocks.get_result(conn);
    let (session, locks, state) = answer.inspect_err(|_| driver::forget_statements(conn))?;
    let transaction = !kept_open
        && match state {
            0 => is_in_transaction(conn),
            state => state == 2,
        };
    if transaction {
        conn.batch_execute("ROLLBACK")?;
    }
    Ok(Leftovers { session, locks, transaction })
}

/// Asks once more after an error: it may have been `KILL QUERY`.
fn is_in_transaction<C: MysqlSession>(conn: &mut C) -> bool {
    let mut fails = || FailInTransaction.execute(conn).inspect_err(|_| driver::forget_statements(conn)).is_err();
    fails() && fails()
}
