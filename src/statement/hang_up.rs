//! A statement that can't be sent, so that the client closes its connection.

use std::marker::PhantomData;

use diesel::{
    mysql::Mysql,
    query_builder::{AstPass, QueryFragment, QueryId},
    result::QueryResult,
};

use super::select::NumberedSelect;

/// Looks like the question `S`, which the connection has prepared, but has no parameters.
///
/// mysql_async notices that before any I/O, also while rows arrive, and closes the connection.
pub(crate) struct WithoutParameters<S>(PhantomData<fn(S)>);

impl<S> WithoutParameters<S> {
    pub(crate) fn new() -> Self {
        Self(PhantomData)
    }
}

impl<S> QueryFragment<Mysql> for WithoutParameters<S> {
    fn walk_ast<'b>(&'b self, _: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        Ok(())
    }
}

impl<S: QueryId> QueryId for WithoutParameters<S> {
    type QueryId = <NumberedSelect<'static, S> as QueryId>::QueryId;
    const HAS_STATIC_QUERY_ID: bool = true;
}
