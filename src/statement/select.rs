//! The SQL of a question.

#[cfg(feature = "async")]
use diesel::sql_types::{BigInt, Unsigned};
use diesel::{
    mysql::Mysql,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    result::QueryResult,
};

use super::Statement;

/// `SELECT`, the columns of the statement, `LIMIT 1`.
///
/// The limit has an effect only in a session whose `sql_select_limit` is 0.
pub(crate) struct Select<'a, S>(pub(crate) &'a S);

/// The same, preceded by a number that no other question has. The answer repeats it.
///
/// After a future was dropped, a connection may still have the answer to an earlier question, which must not be taken for the answer to this
/// one. Nor must this answer be taken for the answer to a pool's `SELECT 1`: the number does not fit into an `i32`.
#[cfg(feature = "async")]
pub(crate) struct NumberedSelect<'a, S> {
    pub(crate) statement: &'a S,
    pub(crate) number: u64,
}

fn push_start<S: Statement>(out: &mut AstPass<'_, '_, Mysql>, statement: &S) {
    out.push_sql("SELECT ");
    if let Some(millis) = statement.time_limit() {
        out.push_sql(&format!("/*+ MAX_EXECUTION_TIME({millis}) */ "));
    }
}

impl<S: Statement> QueryFragment<Mysql> for Select<'_, S> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        push_start(&mut out, self.0);
        self.0.walk_ast(out.reborrow())?;
        out.push_sql(" LIMIT 1");
        Ok(())
    }
}

impl<S: Query> Query for Select<'_, S> {
    type SqlType = S::SqlType;
}

impl<S: QueryId> QueryId for Select<'_, S> {
    type QueryId = Select<'static, S::QueryId>;
    const HAS_STATIC_QUERY_ID: bool = S::HAS_STATIC_QUERY_ID;
}

#[cfg(feature = "async")]
impl<S: Statement> QueryFragment<Mysql> for NumberedSelect<'_, S> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        push_start(&mut out, self.statement);
        // MySQL takes a bare parameter for a string.
        out.push_sql("CAST(");
        out.push_bind_param::<Unsigned<BigInt>, _>(&self.number)?;
        out.push_sql(" AS UNSIGNED), ");
        self.statement.walk_ast(out.reborrow())?;
        out.push_sql(" LIMIT 1");
        Ok(())
    }
}

#[cfg(feature = "async")]
impl<S: Query> Query for NumberedSelect<'_, S> {
    type SqlType = (Unsigned<BigInt>, S::SqlType);
}

#[cfg(feature = "async")]
impl<S: QueryId> QueryId for NumberedSelect<'_, S> {
    type QueryId = NumberedSelect<'static, S::QueryId>;
    const HAS_STATIC_QUERY_ID: bool = S::HAS_STATIC_QUERY_ID;
}
