//! Repeats statements that `KILL QUERY` has struck.

use std::time::Duration;

use diesel::{
    expression::QueryMetadata,
    mysql::Mysql,
    query_builder::{QueryFragment, QueryId},
    result::{Error, QueryResult},
};

use super::{Driver, out_of_step::OutOfStep};
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

/// The attempts at one statement, which may be sent twice. Each caller has its own loop, because a closure would make the futures of async
/// callers not `Send`.
struct Attempts<P> {
    first: Option<Error>,
    pauses: P,
}

impl Attempts<()> {
    fn new() -> Attempts<impl Iterator<Item = Duration>> {
        Attempts { first: None, pauses: pauses() }
    }
}

impl<P: Iterator<Item = Duration>> Attempts<P> {
    /// Pauses before the next attempt.
    ///
    /// # Errors
    ///
    /// Returns the first error if this was the last attempt, or the connection is out of step.
    async fn failed<D: Driver<C>, C>(&mut self, error: Error) -> QueryResult<()> {
        if OutOfStep::is(&error) {
            return Err(error);
        }
        let first = self.first.get_or_insert(error);
        let Some(pause) = self.pauses.next() else {
            return Err(std::mem::replace(first, Error::NotFound));
        };
        D::pause(pause).await;
        Ok(())
    }
}

/// Repeats the question until there is an answer.
pub(crate) async fn ask_again<D: Driver<C>, C, S: Statement>(conn: &mut C, question: &S) -> QueryResult<S::Answer>
where
    Mysql: QueryMetadata<S::SqlType>,
{
    let mut attempts = Attempts::new();
    loop {
        match D::ask(conn, question).await {
            Err(error) => attempts.failed::<D, C>(error).await?,
            answer => return answer,
        }
    }
}

/// Repeats a statement without an answer until it succeeds.
pub(crate) async fn execute_again<D, C, S>(conn: &mut C, statement: S) -> QueryResult<()>
where
    D: Driver<C>,
    S: QueryFragment<Mysql> + QueryId + Copy + 'static,
{
    let mut attempts = Attempts::new();
    while let Err(error) = D::execute(conn, statement).await {
        attempts.failed::<D, C>(error).await?;
    }
    Ok(())
}

/// Repeats text until it succeeds.
pub(crate) async fn batch_again<D: Driver<C>, C>(conn: &mut C, sql: &str) -> QueryResult<()> {
    let mut attempts = Attempts::new();
    while let Err(error) = D::batch(conn, sql).await {
        attempts.failed::<D, C>(error).await?;
    }
    Ok(())
}
