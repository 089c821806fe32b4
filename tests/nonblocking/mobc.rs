//! The pool mobc with diesel-async 0.9.2, whose check of a connection is inverted: it keeps those that are broken.

use diesel_async::{AsyncMysqlConnection, pooled_connection::mobc};
use diesel_named_lock::{
    NamedLockError,
    nonblocking::{NamedLockConnection, NamedLockExt},
};
use testkit::world::{SOON, assert_free, assert_free_soon, fresh, holder, is_alive, server, wait_until};

use crate::world::{LONG, Manager, drop_once, id};

fn mobc_of_one() -> mobc::Pool<AsyncMysqlConnection> {
    mobc::Builder::new().max_open(1).get_timeout(Some(SOON)).build(Manager::new(server().tcp_url()))
}

async fn section<C: NamedLockConnection>(conn: &mut C, name: &str) -> Result<u64, NamedLockError> {
    conn.with_named_lock(name, SOON, async |conn| Ok(id(conn).await)).await
}

#[tokio::test]
async fn mobc_closes_a_sound_connection_whose_section_has_ended() {
    let (name, pool) = (fresh("mobc"), mobc_of_one());
    let first = section(&mut pool.get().await.unwrap(), &name).await.unwrap();
    assert_free(&name);
    assert_ne!(section(&mut pool.get().await.unwrap(), &name).await.unwrap(), first);
}

#[tokio::test]
async fn mobc_keeps_the_connection_of_a_dropped_section_but_neither_lock_nor_session() {
    let (name, pool) = (fresh("mobc"), mobc_of_one());
    let mut conn = pool.get().await.unwrap();
    let session = id(&mut conn).await;
    let dropped = conn.with_named_lock(&*name, SOON, async |_| {
        tokio::time::sleep(LONG).await;
        Ok::<_, NamedLockError>(())
    });
    drop_once(dropped, "the lock is held", || holder(&name).is_some()).await;
    drop(conn);
    assert_free_soon(&name);
    wait_until("the session to be gone", || !is_alive(session));
    // mobc's ping finds out that it is dead.
    assert_ne!(section(&mut pool.get().await.unwrap(), &name).await.unwrap(), session);
}
