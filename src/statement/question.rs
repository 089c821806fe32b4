//! An operator's questions, which may be asked twice.

use diesel::{deserialize::QueryableByName, mysql::Mysql, sql_query};

use super::{
    ask_again::{Failed, Unless, again},
    privilege::{self, Privilege},
};
use crate::{driver::Driver, operator_error::OperatorError};

/// Asks, and repeats the question if `KILL QUERY` may have struck it.
///
/// A struck question must fail, or it would go unnoticed. So don't use `EXISTS (SELECT …)`: both servers treat a struck subquery as empty, and
/// answer 0 without an error.
pub(crate) async fn ask<D, C, R>(conn: &mut C, query: &str) -> Result<Vec<R>, Failed>
where
    D: Driver<C>,
    R: QueryableByName<Mysql>,
{
    again!(D, conn, Unless::Interrupted, D::rows(conn, sql_query(query)).await)
}

/// Asks a question that only an account with this privilege may ask.
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
