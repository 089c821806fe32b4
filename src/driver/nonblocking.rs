//! The connections of `diesel-async`.

use std::{
    future::poll_fn,
    pin::pin,
    sync::atomic::{AtomicU64, Ordering},
    task::{Context, Waker},
    time::Duration,
};

use diesel::{
    deserialize::{self, FromSqlRow},
    expression::QueryMetadata,
    mysql::Mysql,
    query_builder::{Query, QueryFragment, QueryId},
    result::{Error, QueryResult},
    row::Row,
    sql_types::{BigInt, Unsigned},
};
use diesel_async::TransactionManager;
use futures_core::Stream;
use tokio::{
    task::unconstrained,
    time::{sleep, timeout},
};

use super::{
    Driver,
    out_of_step::OutOfStep,
    status::nonblocking::{self as status, NamedLockConnection},
};
use crate::statement::{
    Statement,
    acquire::{GetLock, GetLockOrAskOnce},
    hang_up::WithoutParameters,
    kill::{KILL_OWN, KillOwn},
    ping::Ping,
    select::NumberedSelect,
    several::GetLocks,
    slots::Enter,
    who_holds::WhoHolds,
};

/// How long a server may take for a trivial answer.
///
/// After a future of the application was dropped, the connection may be out of step with the server, and wait for an answer that never comes.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// The same for the `KILL` of the own session. After this time, the server has received it, or never will.
const KILL_LIMIT: Duration = Duration::from_secs(1);

/// The futures of an async driver wait. A dropped future leaves its connection [out of step](OutOfStep).
pub(crate) struct Nonblocking;

impl<C: NamedLockConnection> Driver<C> for Nonblocking {
    async fn ask<S: Statement>(conn: &mut C, statement: &S) -> QueryResult<S::Answer>
    where
        Mysql: QueryMetadata<S::SqlType>,
    {
        let number = next_number();
        let row = first_row(conn, NumberedSelect { statement, number });
        let row = if statement.waits() { row.await } else { in_time(row).await };
        let error = match row {
            Ok((answered, row)) if answered == number => return Ok(statement.read(row)),
            Ok(_) => OutOfStep::OtherAnswer.into(),
            Err(error) => error,
        };
        if OutOfStep::is(&error) {
            status::mark_broken(conn);
        }
        Err(error)
    }

    async fn execute<S: QueryFragment<Mysql> + QueryId + 'static>(conn: &mut C, statement: S) -> QueryResult<()> {
        in_time(conn.execute_returning_count(statement)).await.map(drop)
    }

    /// Not every query can repeat a number, and a query without rows does not. But nothing can be dropped between two statements of one future.
    /// So if a question right before the query is answered in step, the query is, too.
    async fn rows<Q, R>(conn: &mut C, query: Q) -> QueryResult<Vec<R>>
    where
        Q: Query + QueryFragment<Mysql> + QueryId,
        R: FromSqlRow<Q::SqlType, Mysql>,
        Mysql: QueryMetadata<Q::SqlType>,
    {
        check_in_step(conn).await?;
        let mut rows = pin!(conn.load(query).await?);
        let mut read = Vec::new();
        // Read to the end: unread rows would be in the way of the next statement.
        while let Some(row) = poll_fn(|cx| rows.as_mut().poll_next(cx)).await {
            read.push(R::build_from_row(&row?).map_err(Error::DeserializationError));
        }
        read.into_iter().collect()
    }

    async fn change<S: QueryFragment<Mysql> + QueryId>(conn: &mut C, statement: S) -> QueryResult<usize> {
        conn.execute_returning_count(statement).await
    }

    async fn batch(conn: &mut C, sql: &str) -> QueryResult<()> {
        conn.batch_execute(sql).await
    }

    /// As text first: on a connection that is out of step, preparing a statement may wait for ever.
    async fn kill_own(conn: &mut C) -> bool {
        match timeout(KILL_LIMIT, conn.batch_execute(KILL_OWN)).await {
            Err(_) => {
                // It may never have been sent: rows that are still to be read come first.
                close(conn);
                return false;
            }
            Ok(Err(_)) => drop(Self::execute(conn, KillOwn).await),
            Ok(Ok(())) => {}
        }
        true
    }

    async fn roll_back_innermost(conn: &mut C) -> QueryResult<()> {
        C::TransactionManager::rollback_transaction(conn).await
    }

    async fn pause(time: Duration) {
        if !time.is_zero() {
            sleep(time).await;
        }
    }

    fn depth(conn: &mut C) -> QueryResult<u32> {
        status::depth(conn)
    }

    fn is_in_test_transaction(conn: &mut C) -> bool {
        status::is_in_test_transaction(conn)
    }

    fn set_no_transaction(conn: &mut C) {
        status::set_no_transaction(conn);
    }

    fn mark_broken(conn: &mut C) {
        status::mark_broken(conn);
    }
}

/// Returns a number that no question of this process has had, and that is too large for the answer to another `SELECT`.
fn next_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1 << 48);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

async fn check_in_step<C: NamedLockConnection>(conn: &mut C) -> QueryResult<()> {
    Nonblocking::ask(conn, &Ping).await
}

async fn first_row<C: NamedLockConnection, S: Statement>(
    conn: &mut C,
    question: NumberedSelect<'_, S>,
) -> QueryResult<(u64, S::Row)> {
    let mut rows = pin!(conn.load(question).await?);
    let mut answer = Err(Error::NotFound);
    // Read to the end: unread rows would be in the way of the next statement.
    while let Some(row) = poll_fn(|cx| rows.as_mut().poll_next(cx)).await {
        answer = read::<S>(&row?).map_err(Error::DeserializationError);
    }
    answer
}

fn read<'a, S: Statement>(row: &impl Row<'a, Mysql>) -> deserialize::Result<(u64, S::Row)> {
    let number = FromSqlRow::<Unsigned<BigInt>, Mysql>::build_from_row(&row.partial_row(0..1))?;
    Ok((number, S::Row::build_from_row(&row.partial_row(1..row.field_count()))?))
}

async fn in_time<T>(answer: impl Future<Output = QueryResult<T>>) -> QueryResult<T> {
    match timeout(ANSWER_LIMIT, answer).await {
        Ok(answer) => answer,
        Err(_) => Err(OutOfStep::Silent.into()),
    }
}

/// Closes a connection in any state, without waiting. A future that is polled once writes its statement to the socket.
///
/// This works if one of the statements of an acquire is prepared. Otherwise, the server is asked to kill the session. But that can't be sent
/// while rows arrive, and is not read while the session waits for a lock.
pub(crate) fn close<C: NamedLockConnection>(conn: &mut C) {
    // The first poll may be used up by the rest of a dropped statement.
    poll_once(conn.execute_returning_count(WithoutParameters::<GetLock<'static>>::new()));
    poll_once(conn.execute_returning_count(WithoutParameters::<GetLock<'static>>::new()));
    poll_once(conn.execute_returning_count(WithoutParameters::<GetLockOrAskOnce<'static>>::new()));
    poll_once(conn.execute_returning_count(WithoutParameters::<GetLocks<'static>>::new()));
    poll_once(conn.execute_returning_count(WithoutParameters::<WhoHolds<'static>>::new()));
    poll_once(conn.execute_returning_count(WithoutParameters::<Enter<'static, 4, true>>::new()));
    poll_once(conn.execute_returning_count(WithoutParameters::<Enter<'static, 4, false>>::new()));
    poll_once(conn.execute_returning_count(WithoutParameters::<Enter<'static, 16, true>>::new()));
    poll_once(conn.execute_returning_count(WithoutParameters::<Enter<'static, 16, false>>::new()));
    poll_once(conn.execute_returning_count(WithoutParameters::<Enter<'static, 64, true>>::new()));
    poll_once(conn.execute_returning_count(WithoutParameters::<Enter<'static, 64, false>>::new()));
    poll_once(conn.batch_execute(KILL_OWN));
}

fn poll_once(future: impl Future) {
    // A task that has used up its budget would send nothing.
    let _ = pin!(unconstrained(future)).poll(&mut Context::from_waker(Waker::noop()));
}
