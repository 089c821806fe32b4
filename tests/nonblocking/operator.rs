//! An operator's functions on async connections.

use std::sync::OnceLock;

use diesel::{connection::SimpleConnection as _, sql_query};
use diesel_async::{AsyncMysqlConnection, RunQueryDsl};
use diesel_named_lock::{
    LockName, NamedLockError, SessionInfo,
    nonblocking::{
        NamedLockConnection, NamedLockExt,
        operator::{OperatorError, Product, break_lock, holder, is_free, named_locks, server_report},
    },
};
use testkit::{
    striking::Striking,
    world::{self, SOON, assert_free_soon, fresh, hold_elsewhere, is_mysql, server, wait_until_waiting},
};

use crate::{
    stage::{connect_slowly_to, connect_to, is_marked, polled},
    world::{bb8_of, connect, id, number},
};

/// To the shared server, which lists its locks: MariaDB by its plugin.
async fn operator() -> AsyncMysqlConnection {
    static PREPARED: OnceLock<()> = OnceLock::new();
    PREPARED.get_or_init(|| {
        if !is_mysql() {
            let install = "INSTALL PLUGIN IF NOT EXISTS metadata_lock_info SONAME 'metadata_lock_info'";
            world::connect().batch_execute(install).expect("the plugin that `tests/setup.sh` fetched");
        }
    });
    connect().await
}

fn lock_name(what: &str) -> LockName {
    LockName::new(fresh(what)).unwrap()
}

/// Also in generic code, and in a task of another thread.
async fn see<C: NamedLockConnection>(conn: &mut C, name: &LockName) -> (bool, Option<SessionInfo>) {
    (is_free(conn, name).await.unwrap(), holder(conn, name).await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_is_asked_whether_it_is_free_and_who_holds_it() {
    let (name, pool) = (lock_name("asked"), bb8_of(1).await);
    let ask = async || {
        let (name, pool) = (name.clone(), pool.clone());
        tokio::spawn(async move { see(&mut *pool.get().await.unwrap(), &name).await }).await.unwrap()
    };
    assert_eq!(ask().await, (true, None));
    let elsewhere = hold_elsewhere(name.as_str());
    let (free, holder) = ask().await;
    assert!(!free);
    assert_eq!(holder.unwrap().connection_id.get(), elsewhere.id);
}

#[tokio::test]
async fn locks_are_listed_with_their_holders_and_waiters() {
    let (name, mut conn) = (lock_name("listed"), operator().await);
    let elsewhere = hold_elsewhere(name.as_str());
    let mut waiting = connect().await;
    let waiter = id(&mut waiting).await;
    let section = tokio::spawn({
        let name = name.clone();
        async move { waiting.with_named_lock(name, SOON, async |_| Ok::<_, NamedLockError>(())).await }
    });
    tokio::task::spawn_blocking(move || wait_until_waiting(waiter)).await.unwrap();
    let seen = named_locks(&mut conn).await.unwrap();
    let lock = seen.with_prefix(name.as_str()).next().expect("the lock");
    assert_eq!(lock.holder.as_ref().unwrap().connection_id.get(), elsewhere.id);
    let mut waiters = lock.waiters.iter().chain(&seen.unassigned_waiters);
    assert!(waiters.any(|session| session.connection_id == waiter), "{seen:?}");
    drop(elsewhere);
    section.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_lock_is_broken_and_its_section_lost() {
    let (name, mut conn) = (lock_name("broken"), operator().await);
    assert_eq!(break_lock(&mut conn, &name).await.unwrap(), None);
    let mut holding = connect().await;
    let held_by = id(&mut holding).await;
    let section = holding.with_named_lock(&name, SOON, async |holding| {
        let own = break_lock(holding, &name).await;
        assert!(matches!(own, Err(OperatorError::HeldHere { .. })), "{own:?}");
        let killed = break_lock(&mut conn, &name).await.unwrap().expect("a holder");
        assert_eq!(killed.connection_id.get(), held_by);
        Ok::<_, NamedLockError>(())
    });
    let lost = section.await;
    assert!(matches!(lost, Err(NamedLockError::Lost { .. })), "{lost:?}");
    assert_free_soon(name.as_str());
}

#[tokio::test]
async fn a_server_is_reported_on_as_to_blocking_connections() {
    let report = server_report(&mut connect().await).await.unwrap();
    assert_eq!(report.product, if is_mysql() { Product::MySql } else { Product::MariaDb });
    assert_eq!(report, diesel_named_lock::operator::server_report(&mut world::connect()).unwrap());
}

/// The server's number decides, since on these connections Diesel calls every error `Unknown`.
#[tokio::test]
async fn an_account_without_the_privileges_gets_the_grant() {
    let (name, user, mut conn) = (lock_name("denied"), fresh("u"), operator().await);
    let elsewhere = hold_elsewhere(name.as_str());
    let create = format!("CREATE USER {user}@'%' IDENTIFIED BY 'x'");
    for statement in [create, format!("GRANT SELECT ON test.* TO {user}@'%'")] {
        sql_query(statement).execute(&mut conn).await.unwrap();
    }
    let mut denied = connect_to(&server().tcp_url().replacen("root", &format!("{user}:x"), 1)).await;
    let answers = [named_locks(&mut denied).await.err(), break_lock(&mut denied, &name).await.err()];
    sql_query(format!("DROP USER {user}@'%'")).execute(&mut conn).await.unwrap();
    for answer in answers {
        assert!(matches!(&answer, Some(OperatorError::Denied { grant, .. }) if grant.contains(&user)), "{answer:?}");
    }
    assert_eq!(holder(&mut conn, &name).await.unwrap().unwrap().connection_id.get(), elsewhere.id);
}

#[tokio::test]
async fn a_question_that_is_struck_is_asked_again() {
    let proxy = Striking::to(server().tcp_url());
    let (mut conn, expected) = (connect_to(proxy.url()).await, server_report(&mut connect().await).await.unwrap());
    for (statement, times) in [("VERSION()", 1), ("SHOW VARIABLES", 9), ("CONNECTION_ID()", 2)] {
        proxy.strike(times, statement);
        assert_eq!(server_report(&mut conn).await.unwrap(), expected, "{statement}");
        assert_eq!(proxy.struck(), times, "{statement}");
    }
}

#[tokio::test]
async fn dropped_at_any_await_a_list_leaves_a_connection_that_is_refused() {
    let (name, mut dropped) = (lock_name("dropped"), 0);
    for polls in 1.. {
        drop(operator().await);
        let mut conn = connect_slowly_to(server().tcp_url()).await;
        let seen = polled(polls, named_locks(&mut conn)).await;
        assert_eq!(is_marked(&mut conn), seen.is_none());
        let section = conn.with_named_lock(&name, SOON, async |_| Ok::<_, NamedLockError>(())).await;
        if let Some(seen) = seen {
            seen.unwrap();
            section.unwrap();
            break;
        }
        assert!(matches!(section, Err(NamedLockError::Broken { .. })), "{section:?}");
        dropped += 1;
    }
    assert!(dropped >= 3, "a list takes three statements at least, and was dropped {dropped} times");
}

/// The application drops a query of its own: no list is made of the answer to that one.
#[tokio::test]
async fn on_a_connection_that_is_out_of_step_nothing_is_listed() {
    let (name, mut conn) = (lock_name("out_of_step"), connect_slowly_to(server().tcp_url()).await);
    assert_eq!(polled(1, number(&mut conn, "SELECT 7 AS number")).await, None);
    let (free, listed) = (is_free(&mut conn, &name).await, named_locks(&mut conn).await);
    assert!(free.is_err() && listed.is_err(), "{free:?}, {listed:?}");
}
