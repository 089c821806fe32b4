//! Whether the session still answers.

use diesel::{
    mysql::Mysql,
    query_builder::{AstPass, Query, QueryFragment},
    result::QueryResult,
    sql_types::Integer,
};

use super::{Statement, cached};

pub(crate) struct Ping;

impl QueryFragment<Mysql> for Ping {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.push_sql("1");
        Ok(())
    }
}

impl Query for Ping {
    type SqlType = (Integer,);
}

cached!(Ping => Ping);

impl Statement for Ping {
    type Row = (i32,);
    type Answer = ();

    fn read(&self, _: Self::Row) {}
}
