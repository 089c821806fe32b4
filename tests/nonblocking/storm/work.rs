//! What the closures do.

use std::{future::poll_fn, pin::pin};

use diesel::sql_query;
use diesel_async::RunQueryDsl;
use diesel_named_lock::{
    NamedLockError,
    nonblocking::{NamedLock, NamedLockConnection, NamedLockExt},
};
use futures_core::Stream;
use testkit::world::SOON;

use super::lock::Lock;
use crate::world::{Number, number};

/// 200 kB.
pub const ROWS: &str =
    "WITH RECURSIVE counted (number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM counted WHERE number < 200)
     SELECT number, REPEAT('x', 1000) AS pad FROM counted";

#[derive(Debug, Clone, Copy)]
pub enum Work {
    Rows,
    Nothing,
    Statements,
    Transaction,
    Nested,
    Reentrant,
}

impl Work {
    pub const ALL: [Self; 6] =
        [Self::Rows, Self::Nothing, Self::Statements, Self::Transaction, Self::Nested, Self::Reentrant];

    /// Under `lock`.
    pub async fn run<C: NamedLockConnection>(self, conn: &mut C, lock: &Lock) -> Result<(), NamedLockError> {
        match self {
            Self::Nothing => {}
            Self::Statements => {
                ask(conn).await?;
                sql_query("DO SLEEP(0.002)").execute(conn).await?;
                assert!(conn.still_holds(&*lock.name).await?);
            }
            Self::Transaction => {
                let update = format!("UPDATE {} SET n = n + 1", lock.table);
                let twice = conn.transaction(async |conn| {
                    sql_query(&update).execute(conn).await?;
                    conn.transaction(async |conn| sql_query(&update).execute(conn).await).await
                });
                let _: usize = twice.await?;
            }
            Self::Rows => {
                let mut rows = pin!(sql_query(ROWS).load_stream::<Number>(conn).await?);
                while let Some(row) = poll_fn(|cx| rows.as_mut().poll_next(cx)).await {
                    row?;
                }
            }
            Self::Nested => {
                let nested = NamedLock::new(&*lock.inner)?.timeout(SOON);
                nested.run(conn, async |conn| ask(conn).await).await?;
            }
            Self::Reentrant => {
                let reentrant = NamedLock::new(&*lock.name)?.reentrant();
                reentrant.run(conn, async |conn| ask(conn).await).await?;
            }
        }
        Ok(())
    }
}

/// The connection answers the question that it was asked, and no other.
pub async fn assert_answers<C: NamedLockConnection>(conn: &mut C) {
    let asked = i64::from(fastrand::u32(..));
    assert_eq!(number(conn, &format!("SELECT {asked} AS number")).await, asked, "the answer to another question");
}

async fn ask<C: NamedLockConnection>(conn: &mut C) -> Result<(), NamedLockError> {
    assert_answers(conn).await;
    Ok(())
}
