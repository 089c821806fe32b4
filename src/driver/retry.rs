//! Asking again what `KILL QUERY` has struck.

use std::{thread, time::Duration};

use diesel::{
    expression::QueryMetadata,
    mysql::Mysql,
    query_builder::{QueryFragment, QueryId},
    result::QueryResult,
};

use super::Driver;
use super::status::{NamedLockConnection, forgetting_failures};
use crate::statement::Statement;

/// The pauses between the attempts at one statement: 20 attempts within some 20 ms.
///
/// `KILL QUERY` may strike several statements in a row, and attempts without a pause are over within 3 ms. A connection
/// that is gone fails without I/O.
pub(crate) fn pauses() -> impl Iterator<Item = Duration> {
    const ATTEMPTS: u32 = 20;
    const AT_ONCE: u32 = 3;
    const STEP: Duration = Duration::from_micros(150);

    (1..ATTEMPTS).map(|failed| STEP * failed.saturating_sub(AT_ONCE))
}

/// Asks until there is an answer.
///
/// # Errors
///
/// The first one, if no attempt is answered.
pub(crate) async fn ask_again<D: Driver<C>, C, S: Statement>(conn: &mut C, question: &S) -> QueryResult<S::Answer>
where
    Mysql: QueryMetadata<S::SqlType>,
{
    let first = match D::ask(conn, question).await {
        Err(error) => error,
        answer => return answer,
    };
    for pause in pauses() {
        D::pause(pause).await;
        if let Ok(answer) = D::ask(conn, question).await {
            return Ok(answer);
        }
    }
    Err(first)
}

/// The same for a statement that has no answer.
pub(crate) async fn execute_again<D, C, S>(conn: &mut C, statement: S) -> QueryResult<()>
where
    D: Driver<C>,
    S: QueryFragment<Mysql> + QueryId + Copy + 'static,
{
    let Err(first) = D::execute(conn, statement).await else { return Ok(()) };
    for pause in pauses() {
        D::pause(pause).await;
        if D::execute(conn, statement).await.is_ok() {
            return Ok(());
        }
    }
    Err(first)
}

/// The same for what Diesel sends by itself, on a blocking connection.
///
/// # Errors
///
/// The first one, if no attempt is answered.
pub(crate) fn retry<C: NamedLockConnection, T>(
    conn: &mut C,
    mut ask: impl FnMut(&mut C) -> QueryResult<T>,
) -> QueryResult<T> {
    let mut ask = || forgetting_failures(conn, &mut ask);
    let first = match ask() {
        Err(error) => error,
        answer => return answer,
    };
    for pause in pauses() {
        thread::sleep(pause);
        if let Ok(answer) = ask() {
            return Ok(answer);
        }
    }
    Err(first)
}
