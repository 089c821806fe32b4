//! Round trips, counted by the server itself. No timing.

use std::{collections::BTreeMap, time::Duration};

use diesel::{prelude::*, sql_query, sql_types::Text};
use diesel_named_lock::{NamedLockError, NamedLockExt};

use testkit::world::*;

#[derive(QueryableByName)]
struct Counter {
    #[diesel(sql_type = Text, column_name = Variable_name)]
    name: String,
    #[diesel(sql_type = Text, column_name = Value)]
    value: String,
}

/// What this session has asked the server to do so far.
pub fn counters(conn: &mut MysqlConnection) -> BTreeMap<String, i64> {
    let query = "SHOW SESSION STATUS WHERE Variable_name IN \
                 ('Com_stmt_prepare', 'Com_stmt_execute', 'Com_stmt_close', 'Com_select', 'Com_kill', 'Questions')";
    let rows: Vec<Counter> = sql_query(query).load(conn).unwrap();
    assert_eq!(rows.len(), 6);
    rows.into_iter().map(|row| (row.name, row.value.parse().unwrap())).collect()
}

/// How much `work` adds to each counter, besides what the counting itself adds.
fn counted(conn: &mut MysqlConnection, work: impl Fn(&mut MysqlConnection)) -> BTreeMap<String, i64> {
    let difference = |conn: &mut MysqlConnection, work: &dyn Fn(&mut MysqlConnection)| {
        let before = counters(conn);
        work(conn);
        let after = counters(conn);
        after.into_iter().map(|(name, value)| (name.clone(), value - before[&name])).collect::<BTreeMap<_, _>>()
    };
    let counting = difference(conn, &|_| ());
    difference(conn, &work).into_iter().map(|(name, value)| (name.clone(), value - counting[&name])).collect()
}

#[track_caller]
fn assert_two_round_trips(counted: &BTreeMap<String, i64>) {
    for (name, expected) in [
        ("Com_stmt_prepare", 0),
        ("Com_stmt_execute", 2),
        ("Com_stmt_close", 0),
        ("Com_select", 2),
        ("Com_kill", 0),
        ("Questions", 2),
    ] {
        assert_eq!(counted[name], expected, "{name} in {counted:?}");
    }
}

#[test]
fn a_section_on_a_warm_connection_is_two_round_trips_and_no_prepare() {
    let (mut conn, name) = (connect(), fresh("cost"));
    let section = |conn: &mut MysqlConnection| {
        conn.with_named_lock(&name, SOON, |_| Ok::<_, NamedLockError>(())).unwrap();
    };
    section(&mut conn);
    assert_two_round_trips(&counted(&mut conn, section));
}

/// Timeouts of whole seconds have one statement, those with a part of a second another.
#[test]
fn names_and_timeouts_share_the_prepared_statements() {
    let mut conn = connect();
    let run = |conn: &mut MysqlConnection, timeout| {
        let name = fresh("cost_shared");
        conn.with_named_lock(&name, timeout, |_| Ok::<_, NamedLockError>(())).unwrap();
    };
    run(&mut conn, Duration::from_secs(1));
    run(&mut conn, Duration::from_millis(1));
    for timeout in [Duration::ZERO, SOON, Duration::from_millis(2), Duration::from_millis(1500), Duration::MAX] {
        assert_two_round_trips(&counted(&mut conn, |conn| run(conn, timeout)));
    }
}

/// Six of them are of Diesel's transaction, with or without a lock.
#[test]
fn a_section_with_a_transaction_is_eight_round_trips() {
    let (mut conn, name) = (connect(), fresh("cost_transaction"));
    let section = |conn: &mut MysqlConnection| {
        conn.with_named_lock_transaction(&name, SOON, |_| Ok::<_, NamedLockError>(())).unwrap();
    };
    section(&mut conn);
    let [alone, locked] =
        [counted(&mut conn, |conn| conn.transaction(|_| QueryResult::Ok(())).unwrap()), counted(&mut conn, section)];
    assert_eq!((alone["Questions"], locked["Questions"]), (6, 8), "{locked:?}");
}

#[test]
fn trying_in_vain_is_one_round_trip() {
    let (mut conn, name) = (connect(), fresh("cost_try"));
    let elsewhere = hold_elsewhere(&name);
    let try_it = |conn: &mut MysqlConnection| {
        let busy = conn.try_with_named_lock(&name, |_| Ok::<_, NamedLockError>(())).unwrap();
        assert_eq!(busy, None);
    };
    try_it(&mut conn);
    let counted = counted(&mut conn, try_it);
    assert_eq!((counted["Questions"], counted["Com_stmt_prepare"]), (1, 0), "{counted:?}");
    drop(elsewhere);
}
