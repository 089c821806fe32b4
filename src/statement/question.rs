//! An operator's questions, which may be asked twice.

use std::thread;

use diesel::{RunQueryDsl, deserialize::QueryableByName, mysql::Mysql, result::Error, sql_query};

use super::privilege::{self, Privilege};
use crate::{
    driver::{
        blocking::{Blocking, ready},
        error_number::error_number,
        retry::pauses,
        status::NamedLockConnection,
    },
    operator_error::OperatorError,
};

/// A question that was not answered: the server's error number, if it can be asked for, and Diesel's error.
pub(crate) struct Unanswered {
    pub(crate) number: Option<i32>,
    pub(crate) error: Error,
}

/// Asks, and asks again if `KILL QUERY` may have struck the question.
///
/// A killed question must fail to be noticed. So no `EXISTS (SELECT …)`: both servers take a subquery that `KILL QUERY` strikes
/// for empty, and answer 0 without an error.
pub(crate) fn ask<C, R>(conn: &mut C, query: &str) -> Result<Vec<R>, Unanswered>
where
    C: NamedLockConnection,
    R: QueryableByName<Mysql> + 'static,
{
    const INTERRUPTED: i32 = 1317;

    let mut pauses = pauses();
    loop {
        let error = match sql_query(query).load(conn) {
            Ok(rows) => return Ok(rows),
            Err(error) => error,
        };
        let number = ready(error_number::<Blocking, C>(conn));
        match pauses.next() {
            Some(pause) if number.is_none_or(|number| number == INTERRUPTED) => thread::sleep(pause),
            _ => return Err(Unanswered { number, error }),
        }
    }
}

/// Asks what only an account with this privilege is told.
pub(crate) fn ask_privileged<C, R>(conn: &mut C, privilege: Privilege, query: &str) -> Result<Vec<R>, OperatorError>
where
    C: NamedLockConnection,
    R: QueryableByName<Mysql> + 'static,
{
    ask(conn, query).map_err(|Unanswered { number, error }| privilege::explain_number(conn, privilege, number, error))
}
