//! `async-bb8-diesel`: a section is one `run`, on a thread that may block.

use async_bb8_diesel::{AsyncConnection, ConnectionManager};
use diesel::MysqlConnection;
use diesel_named_lock::{NamedLockError, NamedLockExt};
use testkit::world::{SOON, assert_free, fresh, holder, id, server};

#[tokio::test]
async fn async_bb8_diesel_runs_a_section_in_run() {
    let manager = ConnectionManager::<MysqlConnection>::new(server().url());
    let pool = bb8::Pool::builder().max_size(1).build(manager).await.unwrap();
    let name = fresh("bb8");
    let section = {
        let name = name.clone();
        move |conn: &mut MysqlConnection| {
            conn.with_named_lock(&*name, SOON, |conn| Ok::<_, NamedLockError>((id(conn), holder(&name))))
        }
    };
    let (session, seen) = pool.get().await.unwrap().run(section).await.unwrap();
    assert_eq!(seen, Some(session));
    assert_free(&name);
}
