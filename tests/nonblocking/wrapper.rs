//! The blocking sections on an async connection: `AsyncConnectionWrapper`.

use std::panic::{AssertUnwindSafe, catch_unwind};

use diesel::{Connection, QueryResult, RunQueryDsl, result::Error, sql_query};
use diesel_async::{AsyncMysqlConnection, async_connection_wrapper::AsyncConnectionWrapper};
use diesel_named_lock::{NamedLock, NamedLockError, NamedLockExt};
use testkit::world::{SOON, assert_free, fresh, holder, id, kill, server};
use tokio::task::spawn_blocking;

type Wrapper = AsyncConnectionWrapper<AsyncMysqlConnection>;

fn connect() -> Wrapper {
    Wrapper::establish(server().tcp_url()).expect("a wrapped connection")
}

#[test]
fn wrapped_several_locks_are_held_by_the_session_and_nested_sections_by_the_same() {
    let (names, inner, mut conn) = ([fresh("b"), fresh("a")], fresh("inner"), connect());
    NamedLock::all_of(names.clone())
        .unwrap()
        .run(&mut conn, |conn| {
            let own = id(conn);
            assert_eq!(names.each_ref().map(|name| holder(name)), [Some(own); 2]);
            let failed: QueryResult<()> = conn.with_named_lock_transaction(&*inner, SOON, |conn| {
                sql_query("DO 1").execute(conn)?;
                assert_eq!(holder(&inner), Some(own));
                Err(Error::NotFound)
            });
            assert_eq!(failed, Err(Error::NotFound));
            Ok::<_, NamedLockError>(())
        })
        .unwrap();
    names.iter().chain([&inner]).for_each(|name| assert_free(name));
}

#[test]
fn wrapped_a_panic_in_the_closure_releases_the_lock_and_the_connection_serves() {
    let (name, mut conn) = (fresh("panic"), connect());
    let section = || conn.with_named_lock(&*name, SOON, |_| -> Result<(), NamedLockError> { panic!("of the closure") });
    assert!(catch_unwind(AssertUnwindSafe(section)).is_err());
    assert_free(&name);
    conn.with_named_lock(&*name, SOON, |_| Ok::<_, NamedLockError>(())).unwrap();
}

#[test]
fn wrapped_a_session_that_is_killed_inside_is_lost() {
    let (name, mut conn) = (fresh("killed"), connect());
    let outcome = conn.with_named_lock(&*name, SOON, |conn| {
        kill(id(conn));
        Ok::<_, NamedLockError>(())
    });
    assert!(matches!(outcome, Err(NamedLockError::Lost { .. })), "{outcome:?}");
    assert_free(&name);
}

#[tokio::test]
async fn wrapped_connections_panic_on_a_worker_of_a_runtime_and_serve_in_spawn_blocking() {
    assert!(catch_unwind(connect).is_err());
    let name = fresh("spawn_blocking");
    let section = move || {
        connect().with_named_lock(&*name, SOON, |_| Ok::<_, NamedLockError>(())).unwrap();
        assert_free(&name);
    };
    spawn_blocking(section).await.unwrap();
}
