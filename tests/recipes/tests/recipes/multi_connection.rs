//! `MultiConnection`: its variants are of several databases, so the one with named locks is taken out of it first.

use diesel::{Connection, MultiConnection, MysqlConnection};
use diesel_named_lock::{NamedLockError, NamedLockExt};
use testkit::world::{SOON, assert_free, fresh, holder, id, server};

#[derive(MultiConnection)]
enum AnyConnection {
    Mysql(MysqlConnection),
}

#[test]
fn multi_connection_has_sections_on_its_mysql_variant() {
    let name = fresh("multi");
    let AnyConnection::Mysql(conn) = &mut AnyConnection::establish(server().url()).unwrap();
    let held = conn.with_named_lock(&*name, SOON, |conn| Ok::<_, NamedLockError>(holder(&name) == Some(id(conn))));
    assert!(held.unwrap());
    assert_free(&name);
}
