//! An operator's question that `KILL QUERY` strikes is answered right or not at all.
//!
//! Servers answer some questions that were struck, without an error, as if there were nothing: a subquery of `EXISTS` that is
//! struck is false.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use diesel::{MysqlConnection, connection::SimpleConnection};
use diesel_named_lock::{
    LockName,
    operator::{OperatorError, named_locks, server_report},
};

use testkit::{
    clusters::{connect_to, start},
    world::*,
};

use crate::stage::*;

/// How long a question is asked over and over.
const LONG_ENOUGH: Duration = Duration::from_secs(3);

/// Asks while another session strikes, as often as it can. `ask` returns whether it was answered.
fn under_a_rain_of_kill_query(
    conn: &mut MysqlConnection,
    mut killer: MysqlConnection,
    mut ask: impl FnMut(&mut MysqlConnection) -> bool,
) {
    let (over, own) = (AtomicBool::new(false), id(conn));
    let (start, mut answered) = (Instant::now(), false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                killer.batch_execute(&format!("KILL QUERY {own}")).expect("a session to strike");
                // So that some of it is answered, and each statement is struck at some time: it lasts longer on a busy machine.
                thread::sleep(Duration::from_micros(fastrand::u64(..1000 * (1 + start.elapsed().as_secs()))));
            }
        });
        let _over = scopeguard::guard((), |()| over.store(true, Ordering::Relaxed));
        while start.elapsed() < LONG_ENOUGH || (!answered && start.elapsed() < PATIENCE) {
            answered |= ask(conn);
        }
    });
    assert!(answered, "no question was ever answered");
}

#[test]
fn a_list_that_kill_query_strikes_lacks_no_lock_and_says_of_none_that_it_is_not_listed() {
    let (name, _) = scoped("struck");
    let elsewhere = hold_elsewhere(name.as_str());
    assert_lists_under_kill_query(operator(), connect(), &name, elsewhere.id);
}

#[test]
fn a_performance_schema_that_kill_query_strikes_is_not_reported_as_switched_off() {
    let server = start(&["--performance-schema-instrument=wait/lock/metadata/sql/mdl=ON"]);
    let mut conn = connect_to(&server);
    let name = LockName::new("struck").unwrap();
    get_lock(&mut conn, name.as_str(), 0);
    assert_lists_under_kill_query(connect_to(&server), connect_to(&server), &name, id(&mut conn));
}

#[track_caller]
fn assert_lists_under_kill_query(mut conn: MysqlConnection, killer: MysqlConnection, name: &LockName, holder: u64) {
    under_a_rain_of_kill_query(&mut conn, killer, |conn| match named_locks(conn) {
        Ok(seen) => {
            let lock = state(&seen, name).expect("the lock is listed");
            assert_eq!(lock.holder.expect("its holder is listed").connection_id, holder);
            true
        }
        Err(error) => {
            assert!(matches!(error, OperatorError::Database(_)), "{error}");
            false
        }
    });
}

#[test]
fn a_report_that_kill_query_strikes_has_every_finding() {
    let mut conn = connect();
    let whole = server_report(&mut conn).unwrap();
    under_a_rain_of_kill_query(&mut conn, connect(), |conn| {
        let report = server_report(conn);
        report.is_ok_and(|report| {
            assert_eq!(report, whole);
            true
        })
    });
}

#[test]
fn a_holder_that_is_asked_for_under_kill_query_is_returned() {
    let mut conn = connect();
    let (name, _) = scoped("struck");
    let elsewhere = hold_elsewhere(name.as_str());
    under_a_rain_of_kill_query(&mut conn, connect(), |conn| {
        assert!(!name.is_free(conn).unwrap_or(false), "it is held");
        name.holder(conn).is_ok_and(|holder| {
            assert_eq!(holder.expect("a holder").connection_id, elsewhere.id);
            true
        })
    });
}
