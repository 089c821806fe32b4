//! Guards that are kept alive, and learn by themselves that their lock is lost.

use std::time::{Duration, Instant};

use diesel_async::{AsyncConnection, AsyncMysqlConnection};
use diesel_named_lock::{
    KeepAliveError, NamedLockError,
    nonblocking::{NamedLock, NamedLockGuard, pool::NamedLockPool},
};
use testkit::{
    proxy::Proxy,
    world::{SOON, assert_free, assert_free_soon, fresh, holder, kill, server, wait_until},
};
use tokio::time::timeout;

use crate::world::{LONG, bb8_of, connect};

const OFTEN: Duration = Duration::from_millis(50);

async fn acquire(name: &str, idle_limit: Duration) -> NamedLockGuard<AsyncMysqlConnection> {
    NamedLock::new(name).unwrap().idle_limit(idle_limit).acquire(connect().await).await.unwrap()
}

#[tokio::test]
async fn a_guard_that_is_watched_is_kept_beyond_its_idle_limit() {
    let name = fresh("kept");
    let watched = acquire(&name, Duration::from_secs(3)).await.keep_alive(Duration::from_millis(300)).await.unwrap();
    assert!(timeout(Duration::from_secs(5), watched.lost()).await.is_err(), "it is not lost");
    assert!(!watched.is_lost() && watched.lost_for().is_none());
    assert_eq!(holder(&name), Some(watched.connection_id().get()));
    watched.into_guard().await.release().await.unwrap();
    assert_free(&name);
}

#[tokio::test]
async fn a_loss_tells_itself_and_the_release_says_so() {
    let name = fresh("killed");
    let watched = acquire(&name, LONG).await.keep_alive(OFTEN).await.unwrap();
    kill(watched.connection_id().get());
    timeout(SOON, watched.lost()).await.expect("the loss is noticed");
    assert!(watched.is_lost() && watched.lost_for().is_some());
    let error = watched.into_guard().await.release().await.map(drop).unwrap_err().error;
    assert!(matches!(error, NamedLockError::Lost { .. }), "{error:?}");
}

#[tokio::test]
async fn a_network_that_goes_silent_is_noticed_when_the_server_may_have_given_the_lock_away() {
    let (name, proxy) = (fresh("silent"), Proxy::to(server()));
    // Otherwise the client goes to the server's Unix socket, past the proxy.
    let url = format!("{}?prefer_socket=false", proxy.url());
    let conn = AsyncMysqlConnection::establish(&url).await.unwrap();
    let lock = NamedLock::new(&*name).unwrap().idle_limit(Duration::from_secs(2));
    let watched = lock.acquire(conn).await.unwrap().keep_alive(OFTEN).await.unwrap();
    proxy.silence();
    let start = Instant::now();
    timeout(SOON, watched.lost()).await.expect("the silence is noticed");
    assert!(start.elapsed() < Duration::from_secs(9), "not only by the time limit of an answer: {:?}", start.elapsed());
    drop(watched);
    wait_until("the server to give the session up", || holder(&name).is_none());
}

#[tokio::test]
async fn an_interval_that_is_too_long_is_refused_with_the_guard() {
    let name = fresh("interval");
    let guard = acquire(&name, Duration::from_secs(5)).await;
    let guard = match guard.keep_alive(Duration::ZERO).await {
        Err(error @ KeepAliveError::InvalidInterval { longest: None, .. }) => error.into_guard(),
        other => panic!("{other:?}"),
    };
    let guard = match guard.keep_alive(Duration::from_secs(5)).await {
        Err(error @ KeepAliveError::InvalidInterval { longest: Some(_), .. }) => error.into_guard(),
        other => panic!("{other:?}"),
    };
    guard.release().await.unwrap();
}

#[tokio::test]
async fn a_watched_guard_that_is_dropped_frees_its_lock() {
    let name = fresh("dropped");
    let watched = acquire(&name, LONG).await.keep_alive(OFTEN).await.unwrap();
    drop(watched);
    tokio::task::spawn_blocking(move || assert_free_soon(&name)).await.unwrap();
}

#[tokio::test]
async fn a_guard_of_a_pool_is_watched_too() {
    let (name, locks) = (fresh("pooled"), NamedLockPool::new(bb8_of(1).await));
    let guard = locks.acquire(&NamedLock::new(&*name).unwrap()).await.unwrap();
    let watched = guard.keep_alive(OFTEN).await.unwrap();
    assert!(timeout(4 * OFTEN, watched.lost()).await.is_err());
    watched.into_guard().await.release().await.unwrap();
    assert_free(&name);
}
