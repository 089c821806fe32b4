//! A lock's name in a statement.

use diesel::{mysql::Mysql, query_builder::AstPass, result::QueryResult, sql_types::Binary};

/// As bytes that are UTF-8, whatever the session's character set: MySQL reads a text in that one, and `SET NAMES latin1`
/// would make another name of it.
pub(super) fn push_name<'b>(out: &mut AstPass<'_, 'b, Mysql>, name: &'b str) -> QueryResult<()> {
    out.push_sql("CONVERT(");
    out.push_bind_param::<Binary, _>(name.as_bytes())?;
    out.push_sql(" USING utf8mb4)");
    Ok(())
}
