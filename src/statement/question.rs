//! An operator's questions, which may be asked twice.

use diesel::{deserialize::QueryableByName, mysql::Mysql, sql_query};

use super::{
    ask_again::{Failed, Unless, again},
    privilege::{self, Privilege},
};
use crate::{driver::Driver, operator_error::OperatorError};

/// Asks, and asks again if `KILL QUERY` may have struck the question.
///
/// A killed question must fail to be noticed. So no `EXISTS (SELECT …)`: both servers take a subquery that `KILL QUERY` strikes
/// for empty, and answer 0 without an error.
pub(crate) async fn ask<D, C, R>(conn: &mut C, query: &str) -> Result<Vec<R>, Failed>
where
    D: Driver<C>,
    R: QueryableByName<Mysql>,
{
    again!(D, conn, Unless::Interrupted, D::rows(conn, sql_query(query)).await)
}

/// Asks what only an account with this privilege is told.
pub(crate) async fn ask_privileged<D, C, R>(
    conn: &mut C,
    privilege: Privilege,
    query: &str,
) -> Result<Vec<R>, OperatorError>
where
    D: Driver<C>,
    R: QueryableByName<Mysql>,
{
    match ask::<D, C, R>(conn, query).await {
        Ok(rows) => Ok(rows),
        Err(failed) => Err(privilege::explain_failed::<D, C>(conn, privilege, failed).await),
    }
}
