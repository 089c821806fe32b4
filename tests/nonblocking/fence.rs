//! Fencing tokens on async connections.

use diesel::{connection::SimpleConnection, sql_query};
use diesel_async::{AsyncConnection, AsyncMysqlConnection, RunQueryDsl};
use diesel_named_lock::{
    NamedLockError,
    nonblocking::{
        NamedLockConnection, NamedLockExt,
        fence::{self, FenceError, FencingToken},
    },
};
use testkit::{
    database::{Database, database},
    striking::Striking,
    world::{SOON, assert_free_soon, fresh},
};

use crate::{
    stage::{connect_slowly_to, connect_to, is_marked, polled},
    world::{begin, number},
};

const UP: &str = include_str!("../../migrations/00000000000001-namedlock_create_named_lock_fences/up.sql");

fn database_with_fences() -> Database {
    let database = database();
    database.connect().batch_execute(UP).expect("the table");
    database
}

/// A section that does nothing but take a token.
async fn token<C: NamedLockConnection>(conn: &mut C, name: &str) -> Result<FencingToken, FenceError> {
    conn.with_named_lock(name, SOON, async |conn| fence::next_token(conn, name).await).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_go_up_in_async_and_in_blocking_sections_alike() {
    use diesel_named_lock::{NamedLockExt, fence};

    let (database, name) = (database_with_fences(), fresh("alike"));
    for expected in [1, 3] {
        let (url, spawned) = (database.tcp_url(), name.clone());
        let spawned = tokio::spawn(async move { token(&mut connect_to(&url).await, &spawned).await });
        assert_eq!(spawned.await.unwrap().unwrap(), FencingToken::from(expected));
        let blocking = database.connect().with_named_lock(&*name, SOON, |conn| fence::next_token(conn, &*name));
        assert_eq!(blocking.unwrap(), FencingToken::from(expected + 1));
    }
}

#[tokio::test]
async fn there_is_no_token_without_the_lock_its_table_or_a_name_nor_in_a_transaction() {
    let (database, name) = (database_with_fences(), fresh("refused"));
    let mut conn = connect_to(&database.tcp_url()).await;
    let not_held = fence::next_token(&mut conn, &*name).await;
    assert!(matches!(not_held, Err(FenceError::NotHeld { .. })), "{not_held:?}");
    let no_name = fence::next_token(&mut conn, "").await;
    assert!(matches!(no_name, Err(FenceError::Lock(NamedLockError::InvalidName(_)))), "{no_name:?}");
    let in_transaction = conn.transaction(async |conn| fence::next_token(conn, &*name).await).await;
    assert!(matches!(in_transaction, Err(FenceError::InTransaction { .. })), "{in_transaction:?}");
    let no_table = token(&mut connect_to(&testkit::database::database().tcp_url()).await, &name).await;
    assert!(matches!(no_table, Err(FenceError::NoTable { .. })), "{no_table:?}");
    assert!(token(&mut conn, &name).await.is_ok(), "on the same connection");
}

#[tokio::test]
async fn a_check_accepts_the_newest_token_only() {
    let (database, name) = (database_with_fences(), fresh("checked"));
    let mut conn = connect_to(&database.tcp_url()).await;
    let check = async |conn: &mut AsyncMysqlConnection, token| {
        conn.transaction(async |conn| fence::check(conn, &*name, token).await).await
    };
    let never = check(&mut conn, 1.into()).await;
    assert!(matches!(never, Err(FenceError::Unknown { current: None, .. })), "{never:?}");
    let (old, new) = (token(&mut conn, &name).await.unwrap(), token(&mut conn, &name).await.unwrap());
    let stale = check(&mut conn, old).await;
    assert!(matches!(stale, Err(FenceError::Stale { current, .. }) if current == new), "{stale:?}");
    check(&mut conn, new).await.unwrap();
    let outside = fence::check(&mut conn, &*name, new).await;
    assert!(matches!(outside, Err(FenceError::NoTransaction { .. })), "{outside:?}");
}

#[tokio::test]
async fn a_token_is_given_out_however_often_a_statement_is_struck() {
    let (database, name) = (database_with_fences(), fresh("struck"));
    let proxy = Striking::to(&database.tcp_url());
    let mut conn = connect_to(proxy.url()).await;
    let mut last = token(&mut conn, &name).await.unwrap();
    for (statement, times) in
        ["COMMIT", "INSERT INTO named_lock_fences", "LAST_INSERT_ID()"].iter().flat_map(|it| [1, 2, 9].map(|n| (it, n)))
    {
        proxy.strike(times, statement);
        let token = token(&mut conn, &name).await.unwrap_or_else(|error| panic!("{statement}, {times}: {error}"));
        assert_eq!(proxy.struck(), times, "{statement}");
        assert!(token > last, "{statement} struck {times} times: {token} after {last}");
        last = token;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_at_any_await_no_token_is_given_out_twice() {
    let (database, name) = (database_with_fences(), fresh("dropped"));
    let (mut last, mut dropped) = (FencingToken::from(0), 0);
    for polls in 1.. {
        let mut conn = connect_slowly_to(&database.tcp_url()).await;
        let section = conn.with_named_lock(&*name, SOON, async |conn| {
            Ok::<_, FenceError>(polled(polls, fence::next_token(conn, &*name)).await)
        });
        match section.await {
            Ok(token) => {
                let token = token.expect("a section whose token was dropped is lost").unwrap();
                assert!(token > last, "{token} after {last}");
                break;
            }
            Err(FenceError::Lock(NamedLockError::Lost { .. })) => dropped += 1,
            Err(error) => panic!("after {polls} polls: {error}"),
        }
        let refused = token(&mut conn, &name).await;
        assert!(matches!(refused, Err(FenceError::Lock(NamedLockError::Broken { .. }))), "{refused:?}");
        assert_free_soon(&name);
        let next = token(&mut connect_to(&database.tcp_url()).await, &name).await.unwrap();
        assert!(next > last, "{next} after {last}");
        last = next;
    }
    assert!(dropped >= 3, "a token takes three statements at least, and was dropped {dropped} times");
}

// Else, at the end, the dropped connections are not closed before `DROP DATABASE` waits for their transactions.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_whose_token_or_check_is_dropped_is_marked_broken() {
    let (database, name) = (database_with_fences(), fresh("marked"));
    let mut conns = [connect_slowly_to(&database.tcp_url()).await, connect_slowly_to(&database.tcp_url()).await];
    assert!(polled(1, fence::next_token(&mut conns[0], &*name)).await.is_none());
    begin(&mut conns[1]).await.unwrap();
    assert!(polled(1, fence::check(&mut conns[1], &*name, 1.into())).await.is_none());
    for conn in &mut conns {
        assert!(is_marked(conn));
        let refused = token(conn, &name).await;
        assert!(matches!(refused, Err(FenceError::Lock(NamedLockError::Broken { .. }))), "{refused:?}");
    }
}

/// The application drops a query of its own, and continues. The next answers are those to earlier questions.
#[tokio::test]
async fn on_a_connection_that_is_out_of_step_there_is_no_token() {
    let (database, name) = (database_with_fences(), fresh("out_of_step"));
    let mut conn = connect_slowly_to(&database.tcp_url()).await;
    token(&mut conn, &name).await.unwrap();
    let section = conn.with_named_lock(&*name, SOON, async |conn| {
        assert_eq!(polled(1, number(conn, "SELECT 7 AS number")).await, None);
        let none = fence::next_token(conn, &*name).await;
        assert!(none.is_err(), "{none:?}");
        Ok::<_, FenceError>(())
    });
    let lost = section.await;
    assert!(matches!(lost, Err(FenceError::Lock(NamedLockError::Lost { .. }))), "{lost:?}");
    assert_free_soon(&name);
}

/// The check is prepared, so that its next answer, on a connection that is out of step, can be that to the dropped query.
// Else, at the end, the dropped connections are not closed before `DROP DATABASE` waits for their transactions.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_is_not_answered_by_an_earlier_question() {
    let (database, name) = (database_with_fences(), fresh("earlier"));
    let mut conn = connect_slowly_to(&database.tcp_url()).await;
    let (old, new) = (token(&mut conn, &name).await.unwrap(), token(&mut conn, &name).await.unwrap());
    for polls in 1.. {
        let mut conn = connect_slowly_to(&database.tcp_url()).await;
        begin(&mut conn).await.unwrap();
        fence::check(&mut conn, &*name, new).await.unwrap();
        let query = sql_query(format!("SELECT CAST({old} AS UNSIGNED) AS token"));
        let was_dropped = polled(polls, query.execute(&mut conn)).await.is_none();
        let checked = fence::check(&mut conn, &*name, old).await;
        if !was_dropped {
            assert!(matches!(checked, Err(FenceError::Stale { .. })), "{checked:?}");
            break;
        }
        assert!(matches!(checked, Err(FenceError::Database(_))), "{checked:?}");
    }
}
