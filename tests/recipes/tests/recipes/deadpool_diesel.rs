//! `deadpool-diesel`: a section is one `interact`, on a thread that may block.

use std::{sync::mpsc::channel, time::Duration};

use deadpool_diesel::{
    Runtime,
    mysql::{Manager, Pool},
};
use diesel_named_lock::{NamedLockError, NamedLockExt};
use testkit::world::{SOON, assert_free, assert_free_soon, fresh, holder, id, server, wait_until};
use tokio::{task::spawn_blocking, time::timeout};

fn pool_of_one() -> Pool {
    Pool::builder(Manager::new(server().url(), Runtime::Tokio1)).max_size(1).build().unwrap()
}

#[tokio::test]
async fn deadpool_diesel_runs_a_section_in_interact() {
    let (name, conn) = (fresh("deadpool"), pool_of_one().get().await.unwrap());
    let section = {
        let name = name.clone();
        move |conn: &mut diesel::MysqlConnection| {
            conn.with_named_lock(&*name, SOON, |conn| Ok::<_, NamedLockError>((id(conn), holder(&name))))
        }
    };
    let (session, seen) = conn.interact(section).await.unwrap().unwrap();
    assert_eq!(seen, Some(session));
    assert_free(&name);
}

#[tokio::test]
async fn deadpool_diesel_finishes_a_section_whose_future_is_dropped() {
    let (name, pool, (finish, finished)) = (fresh("deadpool"), pool_of_one(), channel());
    let conn = pool.get().await.unwrap();
    let section = conn.interact({
        let name = name.clone();
        move |conn| {
            conn.with_named_lock(&*name, SOON, |_| {
                finished.recv().unwrap();
                Ok::<_, NamedLockError>(())
            })
        }
    });
    assert!(timeout(Duration::from_millis(50), section).await.is_err());
    drop(conn);
    let is_released = move || {
        wait_until("the lock to be held", || holder(&name).is_some());
        finish.send(()).unwrap();
        assert_free_soon(&name);
    };
    spawn_blocking(is_released).await.unwrap();
    assert!(pool.get().await.unwrap().interact(id).await.is_ok());
}
