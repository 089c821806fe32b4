//! The same sections on diesel-async, each on a warm connection of its own, on a runtime of one thread.

use std::time::{Duration, Instant};

use diesel::{
    IntoSql, QueryableByName,
    expression_methods::ExpressionMethods,
    select, sql_query,
    sql_types::{BigInt, Integer, Nullable, Text},
};
use diesel_async::{AsyncConnection, AsyncMysqlConnection, RunQueryDsl};
use diesel_named_lock::{NamedLockError, nonblocking::NamedLockExt};
use tokio::runtime::{self, Runtime};

use crate::contenders::{
    Contender,
    sql::{get_lock, release_lock},
};

const NAME: &str = "bench:nonblocking";
const TIMEOUT: i32 = 10;

pub fn all(socket: &str) -> [Contender; 4] {
    [with_named_lock(socket), typed(socket), numbered(socket), by_hand(socket)]
}

fn contender(
    title: &'static str,
    socket: &str,
    section: impl AsyncFn(&mut AsyncMysqlConnection, i32) + 'static,
) -> Contender {
    let (runtime, mut conn) = connect(socket);
    let sections = move |count| {
        runtime.block_on(async {
            let start = Instant::now();
            for number in (0..).take(count as usize) {
                section(&mut conn, number).await;
            }
            start.elapsed()
        })
    };
    Contender { title, batch: 25, sections: Box::new(sections) }
}

fn connect(socket: &str) -> (Runtime, AsyncMysqlConnection) {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let url = format!("mysql://root@localhost?socket={socket}");
    let conn = runtime.block_on(AsyncMysqlConnection::establish(&url)).expect("a connection");
    (runtime, conn)
}

fn with_named_lock(socket: &str) -> Contender {
    contender("async: conn.with_named_lock", socket, async |conn, _| {
        let timeout = Duration::from_secs(10);
        conn.with_named_lock(NAME, timeout, async |_| Ok::<_, NamedLockError>(())).await.expect("a section");
    })
}

fn typed(socket: &str) -> Contender {
    contender("async: Diesel's typed queries", socket, async |conn, _| {
        assert_eq!(select(get_lock(NAME, TIMEOUT)).get_result(conn).await, Ok(Some(1)));
        assert_eq!(select(release_lock(NAME)).get_result(conn).await, Ok(Some(1)));
    })
}

/// What it costs that each question has a number, which its answer repeats.
fn numbered(socket: &str) -> Contender {
    contender("async: the same, numbered", socket, async |conn, number| {
        let numbered = || number.into_sql::<Integer>().cast::<BigInt>();
        let acquired = select((numbered(), get_lock(NAME, TIMEOUT))).get_result(conn).await;
        assert_eq!(acquired, Ok((i64::from(number), Some(1))));
        let released = select((numbered(), release_lock(NAME))).get_result(conn).await;
        assert_eq!(released, Ok((i64::from(number), Some(1))));
    })
}

#[derive(QueryableByName)]
struct Answer {
    #[diesel(sql_type = Nullable<Integer>)]
    answer: Option<i32>,
}

fn by_hand(socket: &str) -> Contender {
    contender("async: sql_query by hand", socket, async |conn, _| {
        let acquire = sql_query("SELECT GET_LOCK(?, ?) AS answer").bind::<Text, _>(NAME).bind::<Integer, _>(TIMEOUT);
        assert_eq!(acquire.get_result::<Answer>(conn).await.expect("an answer").answer, Some(1));
        let release = sql_query("SELECT RELEASE_LOCK(?) AS answer").bind::<Text, _>(NAME);
        assert_eq!(release.get_result::<Answer>(conn).await.expect("an answer").answer, Some(1));
    })
}
