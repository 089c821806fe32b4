//! A server that does not list its locks says so, and what is said to switch it on does so.

use diesel::connection::SimpleConnection;
use diesel_named_lock::{
    LockName,
    operator::{OperatorError, named_locks},
};

use testkit::{
    clusters::{connect_to, start},
    world::*,
};

use crate::stage::*;

/// Each in turn, since each is of the whole server.
#[test]
fn what_is_switched_off_is_reported_with_the_statement_that_switches_it_on() {
    let server = start(&[]);
    let mut conn = connect_to(&server);
    let name = LockName::new(fresh("unlisted")).unwrap();
    let switches: &[&str] = match is_mysql() {
        true => &[
            "UPDATE performance_schema.setup_instruments SET ENABLED = 'NO' WHERE NAME = 'wait/lock/metadata/sql/mdl'",
            "UPDATE performance_schema.setup_consumers SET ENABLED = 'NO' WHERE NAME = 'global_instrumentation'",
        ],
        false => &["SELECT 'the plugin is not there at first'", "UNINSTALL SONAME 'metadata_lock_info'"],
    };
    for off in switches {
        conn.batch_execute(off).unwrap();
        let remedy = match named_locks(&mut conn) {
            Err(OperatorError::ListUnavailable { remedy, .. }) => remedy,
            other => panic!("after {off}: {other:?}"),
        };
        conn.batch_execute(remedy).unwrap_or_else(|error| panic!("{remedy}: {error}"));
        assert_eq!(get_lock(&mut conn, name.as_str(), 0), Some(1));
        assert!(state(&named_locks(&mut conn).unwrap(), &name).is_some(), "after {remedy}");
        assert_eq!(release_lock(&mut conn, name.as_str()), Some(1));
    }
}

#[test]
fn a_server_without_performance_schema_has_an_error_of_its_own() {
    let server = start(&["--performance-schema=OFF"]);
    let outcome = named_locks(&mut connect_to(&server));
    let Err(error @ OperatorError::ListUnavailable { .. }) = outcome else { panic!("{outcome:?}") };
    let remedy = if is_mysql() { "performance_schema = ON" } else { "INSTALL SONAME 'metadata_lock_info'" };
    assert!(error.to_string().contains(remedy), "{error}");
}

/// Documented at `named_locks`.
#[test]
fn a_lock_that_was_taken_before_is_seen_by_mariadbs_plugin_but_not_by_the_performance_schema() {
    const INSTRUMENT: &str =
        "UPDATE performance_schema.setup_instruments SET ENABLED = @on WHERE NAME = 'wait/lock/metadata/sql/mdl'";
    let server = start(&[]);
    let mut conn = connect_to(&server);
    let name = LockName::new(fresh("before")).unwrap();
    conn.batch_execute(&format!("SET @on = 'NO'; {INSTRUMENT}")).unwrap();
    get_lock(&mut conn, name.as_str(), 0);
    let switch_on = if is_mysql() { INSTRUMENT } else { "INSTALL SONAME 'metadata_lock_info'" };
    conn.batch_execute(&format!("SET @on = 'YES'; {switch_on}")).unwrap();
    assert_eq!(state(&named_locks(&mut conn).unwrap(), &name).is_some(), !is_mysql());
}
