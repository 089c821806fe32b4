//! `rocket_sync_db_pools`: a section is one `run`, on a thread that may block.

use diesel::MysqlConnection;
use diesel_named_lock::{NamedLockError, NamedLockExt};
use rocket::figment::{util::map, value::Value};
use rocket_sync_db_pools::database;
use testkit::world::{SOON, assert_free, fresh, holder, id, server};

#[database("shop")]
struct Shop(MysqlConnection);

#[tokio::test]
async fn rocket_runs_a_section_in_run() {
    let database = map! { "url" => Value::from(server().url()), "pool_size" => Value::from(1) };
    let figment = rocket::Config::figment().merge(("databases", map! { "shop" => database }));
    let rocket = rocket::custom(figment).attach(Shop::fairing()).ignite().await.unwrap();
    let name = fresh("rocket");
    let section = {
        let name = name.clone();
        move |conn: &mut MysqlConnection| {
            conn.with_named_lock(&*name, SOON, |conn| Ok::<_, NamedLockError>((id(conn), holder(&name))))
        }
    };
    let (session, seen) = Shop::get_one(&rocket).await.unwrap().run(section).await.unwrap();
    assert_eq!(seen, Some(session));
    assert_free(&name);
}
