//! Ending a transaction that Diesel does not know of: begun by raw SQL, or by any statement if autocommit is off.
//!
//! Does nothing if there is none. `completion_type` is overridden: it could begin another transaction, or end the session.

use diesel::{
    RunQueryDsl,
    mysql::Mysql,
    query_builder::{AstPass, QueryFragment, QueryId},
    result::QueryResult,
};

use crate::driver::status::{self, NamedLockConnection};

/// One round trip when warm. A batch takes three: it switches several statements on and off.
struct Commit;

impl QueryFragment<Mysql> for Commit {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.push_sql("COMMIT AND NO CHAIN NO RELEASE");
        Ok(())
    }
}

impl QueryId for Commit {
    type QueryId = Self;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<C> RunQueryDsl<C> for Commit {}

/// Commits, but not Diesel's test transaction.
pub(crate) fn commit<C: NamedLockConnection>(conn: &mut C) -> QueryResult<()> {
    if status::is_in_test_transaction(conn) { Ok(()) } else { Commit.execute(conn).map(drop) }
}

/// Rolls back, but not Diesel's test transaction. Not preparable on MySQL, hence as a batch.
pub(crate) fn roll_back<C: NamedLockConnection>(conn: &mut C) -> QueryResult<()> {
    if status::is_in_test_transaction(conn) { Ok(()) } else { conn.batch_execute("ROLLBACK AND NO CHAIN NO RELEASE") }
}
