//! On whatever connection Diesel has for MySQL.

use diesel::{
    MysqlConnection,
    connection::{CacheSize, SimpleConnection},
    prelude::*,
    r2d2::{ConnectionManager, ManageConnection, Pool, TestCustomizer},
    sql_query,
};
use diesel_named_lock::{NamedLockConnection, NamedLockError, NamedLockExt};

use testkit::world::*;

/// Code that does not care which kind of connection it gets.
fn held_inside<C: NamedLockConnection>(conn: &mut C, name: &str) -> bool {
    let outcome: Result<_, NamedLockError> = conn.with_named_lock(name, SOON, |conn| {
        let inside = conn.transaction(|conn| {
            sql_query("SELECT 1").execute(conn)?;
            Ok::<_, NamedLockError>(id(conn))
        })?;
        Ok(holder(name) == Some(inside))
    });
    outcome.unwrap()
}

#[test]
fn a_plain_connection() {
    let name = fresh("plain");
    assert!(held_inside(&mut connect(), &name));
    assert_free(&name);
}

#[test]
fn a_pooled_connection() {
    let (pool, name) = (pool_of_one(), fresh("pooled"));
    assert!(held_inside(&mut pool.get().unwrap(), &name));
    assert_free(&name);
}

#[test]
fn the_connection_inside_a_pooled_one() {
    let (pool, name) = (pool_of_one(), fresh("deref"));
    assert!(held_inside(&mut *pool.get().unwrap() as &mut MysqlConnection, &name));
    assert_free(&name);
}

/// A manager that an application wrote, with nothing of Diesel's but the connection.
#[derive(Debug)]
struct OwnManager(ConnectionManager<MysqlConnection>);

impl ManageConnection for OwnManager {
    type Connection = MysqlConnection;
    type Error = diesel::r2d2::Error;

    fn connect(&self) -> Result<MysqlConnection, Self::Error> {
        let mut conn = self.0.connect()?;
        conn.batch_execute("SET @connected_by = 'own manager'")?;
        Ok(conn)
    }

    fn is_valid(&self, conn: &mut MysqlConnection) -> Result<(), Self::Error> {
        self.0.is_valid(conn)
    }

    fn has_broken(&self, conn: &mut MysqlConnection) -> bool {
        self.0.has_broken(conn)
    }
}

#[test]
fn a_connection_of_a_custom_manager() {
    let name = fresh("own_manager");
    let manager = OwnManager(ConnectionManager::new(server().url()));
    let pool = Pool::builder().max_size(1).build(manager).unwrap();
    assert!(held_inside(&mut pool.get().unwrap(), &name));
    assert_free(&name);
}

#[test]
fn a_pool_for_tests_whose_transactions_are_never_committed() {
    let name = fresh("test_pool");
    let pool = Pool::builder()
        .max_size(1)
        .connection_customizer(Box::new(TestCustomizer))
        .build(Manager::new(server().url()))
        .unwrap();
    assert!(held_inside(&mut pool.get().unwrap(), &name));
    assert_free(&name);
}

#[test]
fn a_connection_that_caches_no_statements() {
    let name = fresh("uncached");
    let mut conn = connect();
    conn.set_prepared_statement_cache_size(CacheSize::Disabled);
    assert!(held_inside(&mut conn, &name));
    assert_free(&name);
}

#[test]
fn a_connection_over_tcp() {
    let name = fresh("tcp");
    assert!(held_inside(&mut MysqlConnection::establish(server().tcp_url()).unwrap(), &name));
    assert_free(&name);
}
