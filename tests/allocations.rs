//! What a section allocates on the client: on a warm connection, what Diesel does for two statements, and no more.
//!
//! A program of its own, since a logger allocates, too, and the tests of logging install one.

use std::time::Duration;

use diesel::{
    IntoSql, MysqlConnection,
    prelude::*,
    select,
    sql_types::{BigInt, Unsigned},
};
use diesel_named_lock::{LockName, NamedLock, NamedLockError, NamedLockExt};
use test_server::Server;

use sql::{get_lock, is_used_lock, release_lock};

mod sql {
    use diesel::{declare_sql_function, sql_types::*};

    #[declare_sql_function]
    extern "SQL" {
        fn get_lock(name: Text, seconds: Unsigned<Integer>) -> Nullable<Integer>;
        fn release_lock(name: Text) -> Nullable<Integer>;
        fn is_used_lock(name: Text) -> Nullable<Unsigned<BigInt>>;
    }
}

const TIMEOUT: Duration = Duration::from_secs(20);

fn connect() -> MysqlConnection {
    MysqlConnection::establish(Server::shared().url()).expect("a connection to the test server")
}

/// How often `work` allocates the second time: the first prepares the statements.
fn allocations(work: impl Fn(&mut MysqlConnection)) -> u64 {
    let mut conn = connect();
    work(&mut conn);
    allocation_counter::measure(|| work(&mut conn)).count_total
}

/// Two statements by Diesel, with as many values in and out as those of a section, and of the same types.
fn of_two_statements(name: &str) -> u64 {
    let count = allocations(|conn| {
        let acquire = select((is_used_lock(name), get_lock(name, 20_u32)));
        let release = select((release_lock(name), 7_u64.into_sql::<Unsigned<BigInt>>(), is_used_lock(name)));
        assert_eq!(acquire.get_result(conn), Ok((None::<u64>, Some(1_i32))));
        assert_eq!(release.get_result(conn), Ok((Some(1_i32), 7_u64, None::<u64>)));
    });
    assert!(count > 0, "nothing is counted");
    count
}

#[test]
fn a_section_allocates_no_more_than_its_two_statements() {
    let name = LockName::new("allocations_run").unwrap();
    let lock = NamedLock::new(&name).unwrap().timeout(TIMEOUT);
    let section = allocations(|conn| lock.run(conn, |_| Ok::<_, NamedLockError>(())).unwrap());
    assert_eq!(section, of_two_statements(name.as_str()));
}

#[test]
fn a_lock_of_a_name_that_is_there_allocates_nothing() {
    let name = LockName::new("allocations_method").unwrap();
    let section = allocations(|conn| conn.with_named_lock(&name, TIMEOUT, |_| Ok::<_, NamedLockError>(())).unwrap());
    assert_eq!(section, of_two_statements(name.as_str()));
}

#[test]
fn a_name_given_as_text_is_copied_once() {
    let name = "allocations_text";
    let section = allocations(|conn| conn.with_named_lock(name, TIMEOUT, |_| Ok::<_, NamedLockError>(())).unwrap());
    assert_eq!(section, of_two_statements(name) + 1);
}
