//! Statements that the closure itself drops, as by `timeout(statement)`, at random moments.

use diesel::{QueryResult, sql_query};
use diesel_async::RunQueryDsl;
use diesel_named_lock::{
    NamedLockError,
    nonblocking::{NamedLock, NamedLockConnection, NamedLockExt},
};
use testkit::world::{SOON, assert_free_soon, fresh};

use crate::{
    storm::{
        cut::Cut,
        source::{Plain, Source},
        work::{ROWS, assert_answers},
    },
    world::{Number, bb8_of, connect, deadpool_of, table},
};

const SECTIONS: usize = 150;

#[derive(Debug, Clone, Copy)]
enum Statement {
    Select,
    Sleep,
    Transaction,
    Rows,
}

impl Statement {
    fn random() -> Self {
        [Self::Select, Self::Sleep, Self::Transaction, Self::Rows][fastrand::usize(..4)]
    }

    async fn run<C: NamedLockConnection>(self, conn: &mut C, table: &str) -> QueryResult<()> {
        match self {
            Self::Select => assert_answers(conn).await,
            Self::Sleep => drop(sql_query("SELECT SLEEP(0.002)").execute(conn).await?),
            Self::Transaction => {
                let insert = format!("INSERT INTO {table} VALUES (1)");
                conn.transaction(async |conn| sql_query(&insert).execute(conn).await).await?;
            }
            Self::Rows => drop(sql_query(ROWS).load::<Number>(conn).await?),
        }
        Ok(())
    }
}

/// What the closure asks this crate afterwards: the truth, or nothing.
async fn go_on<C: NamedLockConnection>(conn: &mut C, lock: &NamedLock) {
    match fastrand::u8(..3) {
        0 => {}
        1 => {
            let answer = conn.still_holds(&lock.names()[0]).await;
            assert!(!matches!(answer, Ok(false)), "{answer:?}");
        }
        _ => {
            let inner = lock.clone().reentrant();
            // What it returns may be any error; that it runs its closure on a connection out of step may not be.
            let _: Result<(), NamedLockError> = inner.run(conn, async |conn| answers(conn).await).await;
        }
    }
}

async fn answers<C: NamedLockConnection>(conn: &mut C) -> Result<(), NamedLockError> {
    assert_answers(conn).await;
    Ok(())
}

async fn drop_statements<S: Source>(source: S) {
    let (name, table) = (fresh("statements"), table(&mut connect().await).await);
    let lock = NamedLock::new(&*name).unwrap().timeout(SOON);
    let (mut dropped_count, mut lost_count) = (0, 0);
    for _ in 0..SECTIONS {
        let mut conn = source.get().await;
        assert_answers(&mut conn).await;
        let (statement, cut) = (Statement::random(), Cut::random(6));
        let mut is_dropped = false;
        let section = lock.run(&mut conn, async |conn| {
            match cut.apply(statement.run(conn, &table), || {}).await {
                Some(ended) => ended?,
                None => {
                    is_dropped = true;
                    go_on(conn, &lock).await;
                }
            }
            Ok::<_, NamedLockError>(())
        });
        let outcome = section.await;
        dropped_count += usize::from(is_dropped);
        lost_count += usize::from(matches!(outcome, Err(NamedLockError::Lost { .. })));
        match outcome {
            Ok(()) => {}
            Err(NamedLockError::Lost { .. } | NamedLockError::TransactionLeftOpen { .. }) if is_dropped => {}
            other => panic!("{statement:?}, {cut:?}: {other:?}"),
        }
        // In step, or refused.
        match lock.run(&mut conn, async |conn| answers(conn).await).await {
            Ok(()) => {}
            Err(NamedLockError::Broken { .. }) if is_dropped => {}
            other => panic!("{statement:?}, {cut:?}: {other:?}"),
        }
    }
    println!("{dropped_count} statements dropped, {lost_count} sections lost");
    assert!(lost_count > SECTIONS / 10, "{lost_count} of {dropped_count}");
    assert_free_soon(&name);
}

#[tokio::test]
async fn dropped_statements_on_plain_connections_give_no_wrong_answer() {
    drop_statements(Plain).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_statements_on_bb8_give_no_wrong_answer() {
    drop_statements(bb8_of(1).await).await;
}

#[tokio::test]
async fn dropped_statements_on_deadpool_give_no_wrong_answer() {
    drop_statements(deadpool_of(1)).await;
}
