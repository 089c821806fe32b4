//! Asking again what `KILL QUERY` has struck.

use std::time::Duration;

use diesel::{
    expression::QueryMetadata,
    mysql::Mysql,
    query_builder::{QueryFragment, QueryId},
    result::QueryResult,
};

use super::{
    Driver,
    blocking::{Blocking, ready},
    status::{NamedLockConnection, forgetting_failures},
};
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

/// Attempts something until it succeeds. Only for what may be done twice.
///
/// # Errors
///
/// The first one, if no attempt succeeds.
async fn again<D: Driver<C>, C, T>(
    conn: &mut C,
    mut attempt: impl AsyncFnMut(&mut C) -> QueryResult<T>,
) -> QueryResult<T> {
    let first = match attempt(conn).await {
        Err(error) => error,
        answer => return answer,
    };
    for pause in pauses() {
        D::pause(pause).await;
        if let Ok(answer) = attempt(conn).await {
            return Ok(answer);
        }
    }
    Err(first)
}

/// Asks until there is an answer.
pub(crate) async fn ask_again<D: Driver<C>, C, S: Statement>(conn: &mut C, question: &S) -> QueryResult<S::Answer>
where
    Mysql: QueryMetadata<S::SqlType>,
{
    again::<D, C, _>(conn, async |conn: &mut C| D::ask(conn, question).await).await
}

/// Executes a statement that has no answer, until that succeeds.
pub(crate) async fn execute_again<D, C, S>(conn: &mut C, statement: S) -> QueryResult<()>
where
    D: Driver<C>,
    S: QueryFragment<Mysql> + QueryId + Copy + 'static,
{
    again::<D, C, _>(conn, async |conn: &mut C| D::execute(conn, statement).await).await
}

/// Executes text until that succeeds.
pub(crate) async fn batch_again<D: Driver<C>, C>(conn: &mut C, sql: &str) -> QueryResult<()> {
    again::<D, C, _>(conn, async |conn: &mut C| D::batch(conn, sql).await).await
}

/// The same for what Diesel sends by itself, on a blocking connection.
pub(crate) fn retry<C: NamedLockConnection, T>(
    conn: &mut C,
    mut ask: impl FnMut(&mut C) -> QueryResult<T>,
) -> QueryResult<T> {
    ready(again::<Blocking, C, _>(conn, async |conn: &mut C| forgetting_failures(conn, &mut ask)))
}
