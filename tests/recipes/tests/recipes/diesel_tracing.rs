//! `diesel-tracing`: its connection is one like any other.

use diesel::{Connection, r2d2::ConnectionManager, r2d2::Pool};
use diesel_named_lock::{NamedLock, NamedLockError, pool::NamedLockPool};
use diesel_tracing::mysql::InstrumentedMysqlConnection;
use testkit::world::{SOON, assert_free, fresh, holder, id, server};

#[test]
fn diesel_tracing_has_sections_with_several_locks() {
    let names = [fresh("a"), fresh("b")];
    let mut conn = InstrumentedMysqlConnection::establish(server().url()).unwrap();
    let section = NamedLock::all_of(names.clone()).unwrap().run(&mut conn, |conn| {
        let session = id(conn);
        assert_eq!(names.each_ref().map(|name| holder(name)), [Some(session); 2]);
        Ok::<_, NamedLockError>(())
    });
    section.unwrap();
    names.iter().for_each(|name| assert_free(name));
}

#[test]
fn diesel_tracing_has_pools_of_locks() {
    let name = fresh("pool");
    let manager = ConnectionManager::<InstrumentedMysqlConnection>::new(server().url());
    let locks = NamedLockPool::new(Pool::builder().max_size(1).build(manager).unwrap());
    let held = locks.with_named_lock(&*name, SOON, |conn| Ok::<_, NamedLockError>(holder(&name) == Some(id(conn))));
    assert!(held.unwrap());
    assert_free(&name);
}
