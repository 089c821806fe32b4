//! Diesel's blocking connections: their futures are always ready.

use std::{
    pin::pin,
    task::{Context, Poll, Waker},
    thread,
    time::Duration,
};

use diesel::{
    connection::TransactionManager,
    deserialize::FromSqlRow,
    expression::QueryMetadata,
    mysql::Mysql,
    query_builder::{Query, QueryFragment, QueryId},
    result::{Error, QueryResult},
};

use super::{
    Driver,
    status::{self, NamedLockConnection},
};
use crate::statement::{Statement, kill::KillOwn, select::Select};

pub(crate) struct Blocking;

impl<C: NamedLockConnection> Driver<C> for Blocking {
    async fn ask<S: Statement>(conn: &mut C, statement: &S) -> QueryResult<S::Answer>
    where
        Mysql: QueryMetadata<S::SqlType>,
    {
        let row = status::forgetting_failures(conn, |conn| first_row(conn, statement))?;
        Ok(statement.read(row))
    }

    async fn execute<S: QueryFragment<Mysql> + QueryId + 'static>(conn: &mut C, statement: S) -> QueryResult<()> {
        status::forgetting_failures(conn, |conn| conn.execute_returning_count(&statement)).map(drop)
    }

    async fn rows<Q, R>(conn: &mut C, query: Q) -> QueryResult<Vec<R>>
    where
        Q: Query + QueryFragment<Mysql> + QueryId,
        R: FromSqlRow<Q::SqlType, Mysql>,
        Mysql: QueryMetadata<Q::SqlType>,
    {
        status::forgetting_failures(conn, |conn| {
            let rows = conn.load(query)?;
            rows.map(|row| R::build_from_row(&row?).map_err(Error::DeserializationError)).collect()
        })
    }

    async fn change<S: QueryFragment<Mysql> + QueryId>(conn: &mut C, statement: S) -> QueryResult<usize> {
        status::forgetting_failures(conn, |conn| conn.execute_returning_count(&statement))
    }

    async fn batch(conn: &mut C, sql: &str) -> QueryResult<()> {
        conn.batch_execute(sql)
    }

    async fn kill_own(conn: &mut C) -> bool {
        let _ = Self::execute(conn, KillOwn).await;
        true
    }

    async fn roll_back_innermost(conn: &mut C) -> QueryResult<()> {
        C::TransactionManager::rollback_transaction(conn)
    }

    async fn pause(time: Duration) {
        if !time.is_zero() {
            thread::sleep(time);
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

fn first_row<C: NamedLockConnection, S: Statement>(conn: &mut C, statement: &S) -> QueryResult<S::Row>
where
    Mysql: QueryMetadata<S::SqlType>,
{
    let row = conn.load(Select(statement))?.next().ok_or(Error::NotFound)??;
    S::Row::build_from_row(&row).map_err(Error::DeserializationError)
}

/// Returns the output of a future that never waits, like those of [`Blocking`].
pub(crate) fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => unreachable!("a blocking driver never waits"),
    }
}
