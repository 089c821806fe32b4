//! Ends a transaction that Diesel does not know: begun by raw SQL, or by any statement if autocommit is off.
//!
//! Has no effect if there is none. `completion_type` is overridden: it could begin another transaction, or end the session.

use diesel::{
    mysql::Mysql,
    query_builder::{AstPass, QueryFragment, QueryId},
    result::QueryResult,
};

use super::ask_again::{Failed, Unless, again};
use crate::driver::Driver;

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

/// Commits, but not Diesel's test transaction.
pub(crate) async fn commit<D: Driver<C>, C>(conn: &mut C) -> QueryResult<()> {
    if D::is_in_test_transaction(conn) { Ok(()) } else { D::change(conn, Commit).await.map(drop) }
}

/// The same, repeated if `KILL QUERY` may have struck it.
pub(crate) async fn commit_again<D: Driver<C>, C>(conn: &mut C) -> Result<(), Failed> {
    again!(D, conn, Unless::Interrupted, commit::<D, C>(conn).await)
}

/// Rolls back, but not Diesel's test transaction. Not preparable on MySQL, hence as a batch.
pub(crate) async fn roll_back<D: Driver<C>, C>(conn: &mut C) -> QueryResult<()> {
    if D::is_in_test_transaction(conn) { Ok(()) } else { D::batch(conn, "ROLLBACK AND NO CHAIN NO RELEASE").await }
}
