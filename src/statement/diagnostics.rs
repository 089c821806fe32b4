//! Why a statement failed: the server's error number, which Diesel does not tell.

use diesel::{
    mysql::Mysql,
    query_builder::{AstPass, Query, QueryFragment},
    result::QueryResult,
    sql_types::{Integer, Nullable},
};

use super::{Statement, cached};

/// To be sent right after the failure, as text (not preparable on MySQL), and one by one: of a batch of two that `KILL QUERY`
/// interrupts in between, the server has announced a second result that never comes. Without a condition, the second leaves its
/// variable as it was.
///
/// Not to be sent twice: a statement that fails leaves its own number instead.
pub(crate) const GET_DIAGNOSTICS: [&str; 2] = [
    "GET DIAGNOSTICS @diesel_named_lock_errors = NUMBER",
    "GET DIAGNOSTICS CONDITION 1 @diesel_named_lock_error = MYSQL_ERRNO",
];

/// Reads what they have left.
pub(crate) struct ErrorNumber;

impl QueryFragment<Mysql> for ErrorNumber {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.push_sql("IF(@diesel_named_lock_errors > 0, @diesel_named_lock_error, NULL)");
        Ok(())
    }
}

impl Query for ErrorNumber {
    type SqlType = (Nullable<Integer>,);
}

cached!(ErrorNumber => ErrorNumber);

impl Statement for ErrorNumber {
    type Row = (Option<i32>,);
    type Answer = Option<i32>;

    fn read(&self, (number,): Self::Row) -> Option<i32> {
        number
    }
}
