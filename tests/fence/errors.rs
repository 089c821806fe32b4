//! Errors of fencing tokens.

use diesel::{connection::SimpleConnection, prelude::*};
use diesel_named_lock::{
    NamedLockError,
    fence::{self, FenceError},
};

use testkit::world::*;

use crate::stage::*;

testkit::trials![
    without_the_table_the_error_names_the_migration_and_the_work_has_not_run,
    another_failure_is_not_reported_as_a_missing_table,
    a_lock_that_was_lost_is_told,
    a_bad_name_is_refused_before_any_io,
    an_error_that_travels_inside_diesels_comes_out_as_it_was,
];

fn no_token(conn: &mut MysqlConnection, name: &str) -> FenceError {
    conn.with_fenced_lock(name, SOON, |_, _| -> Result<(), FenceError> { unreachable!("there is no token") })
        .unwrap_err()
}

fn without_the_table_the_error_names_the_migration_and_the_work_has_not_run() {
    let (database, name) = (database(), fresh("no_table"));
    let mut conn = database.connect();
    let section = no_token(&mut conn, &name);
    let check = conn.transaction(|conn| fence::check(conn, &name, fencing(1))).unwrap_err();
    for error in [section, check] {
        assert!(matches!(error, FenceError::NoTable { .. }), "{error:?}");
        assert!(error.to_string().contains("00000000000001-namedlock_create_named_lock_fences"), "{error}");
    }
    assert_free(&name);
    conn.batch_execute(UP).unwrap();
    assert_eq!(token(&mut conn, &name), 1, "the same connection continues");
}

fn another_failure_is_not_reported_as_a_missing_table() {
    let (database, name) = (database_with_fences(), fresh("read_only"));
    let mut conn = database.connect();
    conn.batch_execute("SET SESSION TRANSACTION READ ONLY").unwrap();
    let error = no_token(&mut conn, &name);
    assert!(matches!(error, FenceError::NoToken { .. }), "{error:?}");
    assert_free(&name);
    conn.batch_execute("SET SESSION TRANSACTION READ WRITE").unwrap();
    assert_eq!(token(&mut conn, &name), 1, "the same connection continues");
}

fn a_lock_that_was_lost_is_told() {
    let (database, name) = (database_with_fences(), fresh("lost"));
    let outcome = database.connect().with_fenced_lock(&name, SOON, |conn, _| {
        release_lock(conn, &name);
        Ok::<_, FenceError>(())
    });
    assert!(matches!(outcome, Err(FenceError::Lock(NamedLockError::Lost { .. }))), "{outcome:?}");
}

fn a_bad_name_is_refused_before_any_io() {
    let mut conn = connect();
    let own = id(&mut conn);
    kill(own);
    wait_until("the session to end", || !is_alive(own));
    let section = no_token(&mut conn, "");
    let check = fence::check(&mut conn, "", fencing(1)).unwrap_err();
    for error in [section, check] {
        assert!(matches!(error, FenceError::Lock(NamedLockError::InvalidName(_))), "{error:?}");
    }
}

fn an_error_that_travels_inside_diesels_comes_out_as_it_was() {
    let (database, name) = (database_with_fences(), fresh("travels"));
    let (mut holder, mut writer) = (database.connect(), database.connect());
    tokens(&mut holder, &[&name, &name]);
    // All of it in Diesel's own error.
    let stale: QueryResult<()> = writer.transaction(|writer| Ok(fence::check(writer, &name, fencing(1))?));
    assert!(matches!(stale.unwrap_err().into(), FenceError::Stale { .. }));
    let _elsewhere = hold_elsewhere(&name);
    let busy: QueryResult<()> = holder.with_fenced_lock(&name, std::time::Duration::ZERO, |_, _| Ok(()));
    assert!(matches!(busy.unwrap_err().into(), FenceError::Lock(NamedLockError::Timeout { .. })));
}
