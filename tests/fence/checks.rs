//! Checks by a writer on another connection, in this same database.

use std::{sync::Barrier, thread};

use diesel::{
    connection::SimpleConnection,
    prelude::*,
    result::{DatabaseErrorKind, Error::DatabaseError},
    sql_query,
};
use diesel_named_lock::fence::{self, FenceError};

use testkit::world::*;

use crate::stage::*;

testkit::trials![
    the_newest_token_passes_and_an_older_one_is_stale,
    a_token_that_was_never_given_out_is_refused,
    a_check_outside_of_a_transaction_is_refused_before_any_io,
    a_writer_that_comes_too_late_writes_nothing,
    between_a_check_and_the_commit_no_newer_token_is_given_out,
    two_checks_in_opposite_orders_end_in_an_error_and_not_in_waiting,
    sections_and_checks_side_by_side_never_end_in_a_deadlock,
    a_check_works_within_a_test_transaction,
];

/// A check in a transaction of its own.
fn check(conn: &mut MysqlConnection, name: &str, token: u64) -> Result<(), FenceError> {
    conn.transaction(|conn| fence::check(conn, name, fencing(token)))
}

fn the_newest_token_passes_and_an_older_one_is_stale() {
    let (database, name) = (database_with_fences(), fresh("checked"));
    let (mut holder, mut writer) = (database.connect(), database.connect());
    let newest = tokens(&mut holder, &[&name, &name])[1];
    check(&mut writer, &name, newest).unwrap();
    check(&mut writer, &name.to_uppercase(), newest).unwrap();
    match check(&mut writer, &name, newest - 1) {
        Err(error @ FenceError::Stale { .. }) => {
            let message = error.to_string();
            assert!(
                message.starts_with(&format!("fencing token 1 of named lock `{name}` is stale, 2 has")),
                "{message}"
            );
        }
        other => panic!("{other:?}"),
    }
    check(&mut writer, &name, newest).unwrap();
}

fn a_token_that_was_never_given_out_is_refused() {
    let (database, name) = (database_with_fences(), fresh("unknown"));
    let mut conn = database.connect();
    let refused = |conn: &mut _| match check(conn, &name, 7) {
        Err(FenceError::Unknown { current, .. }) => current,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(&mut conn), None);
    token(&mut conn, &name);
    assert_eq!(refused(&mut conn), Some(fencing(1)));
}

fn a_check_outside_of_a_transaction_is_refused_before_any_io() {
    let (mut conn, name) = (connect(), fresh("outside"));
    let own = id(&mut conn);
    kill(own);
    wait_until("the session to end", || !is_alive(own));
    let outcome = fence::check(&mut conn, &name, fencing(1));
    assert!(matches!(outcome, Err(FenceError::NoTransaction { .. })), "{outcome:?}");
}

fn a_writer_that_comes_too_late_writes_nothing() {
    let (database, name) = (database_with_fences(), fresh("late"));
    let (mut holder, mut writer) = (database.connect(), database.connect());
    holder.batch_execute("CREATE TABLE reports (id INT)").unwrap();
    let late: Result<(), FenceError> = holder.with_fenced_lock(&name, SOON, |holder, token| {
        let own = id(holder);
        kill(own);
        wait_until("the session to end", || !is_alive(own));
        assert_eq!(self::token(&mut database.connect(), &name), 2, "somebody else was in between");
        writer.transaction(|writer| {
            fence::check(writer, &name, token)?;
            sql_query("INSERT INTO reports VALUES (1)").execute(writer)?;
            Ok(())
        })
    });
    assert!(matches!(late, Err(FenceError::Stale { .. })), "{late:?}");
    assert_eq!(number(&mut writer, "SELECT COUNT(*) AS number FROM reports"), Some(0));
}

fn between_a_check_and_the_commit_no_newer_token_is_given_out() {
    let (database, name) = (database_with_fences(), fresh("between"));
    let (mut next, mut writer) = (database.connect(), database.connect());
    next.batch_execute("CREATE TABLE reports (id INT)").unwrap();
    let (token, next_id) = (token(&mut next, &name), id(&mut next));
    // It is a short statement: to be met in it, it has to wait.
    let waits =
        format!("SELECT COUNT(*) AS number FROM {} WHERE ID = {next_id} AND INFO LIKE 'INSERT%'", process_list());
    thread::scope(|scope| {
        let written: Result<_, FenceError> = writer.transaction(|writer| {
            fence::check(writer, &name, fencing(token))?;
            let seen = scope.spawn(|| {
                next.with_fenced_lock(&name, SOON, |next, newer| {
                    Ok::<_, FenceError>((newer.get(), number(next, "SELECT COUNT(*) AS number FROM reports")))
                })
            });
            let mut onlooker = connect();
            wait_until("the next holder to wait for its token", || number(&mut onlooker, &waits) == Some(1));
            sql_query("INSERT INTO reports VALUES (1)").execute(writer)?;
            Ok(seen)
        });
        let seen = written.unwrap().join().unwrap();
        assert_eq!(seen.unwrap(), (token + 1, Some(1)), "the next holder sees what was written before it");
    });
}

fn two_checks_in_opposite_orders_end_in_an_error_and_not_in_waiting() {
    let (database, a, b) = (database_with_fences(), fresh("a"), fresh("b"));
    tokens(&mut database.connect(), &[&a, &b]);
    let both = Barrier::new(2);
    let check_both = |first: &str, second: &str| -> Result<(), FenceError> {
        database.connect().transaction(|conn| {
            fence::check(conn, first, fencing(1))?;
            both.wait();
            fence::check(conn, second, fencing(1))
        })
    };
    let outcomes = thread::scope(|scope| {
        let one = scope.spawn(|| check_both(&a, &b));
        let other = scope.spawn(|| check_both(&b, &a));
        [one.join().unwrap(), other.join().unwrap()]
    });
    let victims = outcomes.iter().filter(|outcome| match outcome {
        Ok(()) => false,
        Err(FenceError::Database(DatabaseError(DatabaseErrorKind::SerializationFailure, _))) => true,
        other => panic!("{other:?}"),
    });
    assert_eq!(victims.count(), 1);
}

/// Also if rows are new, and if there are none yet, so that gaps are locked.
fn sections_and_checks_side_by_side_never_end_in_a_deadlock() {
    const ROUNDS: u32 = 60;
    let (database, name) = (database_with_fences(), fresh("side"));
    database.connect().batch_execute("CREATE TABLE counter (n INT); INSERT INTO counter VALUES (0)").unwrap();
    let both = &|thread: u32| {
        let (mut holder, mut writer) = (database.connect(), database.connect());
        for round in 0..ROUNDS {
            let missing = check(&mut writer, &format!("{name}_{round}_{thread}"), 1);
            assert!(matches!(missing, Err(FenceError::Unknown { current: None, .. })), "{missing:?}");
            let section: Result<_, FenceError> =
                holder.with_fenced_lock(format!("{name}_{}", round / 2), SOON, |_, token| {
                    writer.transaction(|writer| {
                        fence::check(writer, format!("{name}_{}", round / 2), token)?;
                        Ok(sql_query("UPDATE counter SET n = n + 1").execute(writer)?)
                    })
                });
            section.unwrap();
        }
    };
    thread::scope(|scope| (0..4).for_each(|thread| drop(scope.spawn(move || both(thread)))));
    let count = number(&mut database.connect(), "SELECT CAST(n AS SIGNED) AS number FROM counter");
    assert_eq!(count, Some(4 * i64::from(ROUNDS)));
}

fn a_check_works_within_a_test_transaction() {
    let (database, name) = (database_with_fences(), fresh("test_transaction"));
    let mut conn = database.connect();
    conn.begin_test_transaction().unwrap();
    let token = token(&mut conn, &name);
    check(&mut conn, &name, token).unwrap();
}
