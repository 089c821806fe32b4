//! What tokens are given out.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use diesel::{prelude::*, sql_query, sql_types::Text};
use diesel_named_lock::{NamedLockError, fence::FenceError};

use testkit::world::*;

use crate::stage::*;

testkit::trials![
    tokens_begin_at_one_and_go_up_by_every_section,
    each_lock_has_its_own_tokens,
    names_that_differ_in_letter_case_share_their_tokens,
    the_token_is_committed_before_the_work_begins,
    a_token_is_spent_whatever_becomes_of_the_work,
    a_section_whose_session_was_killed_is_lost_and_its_token_spent,
    a_section_that_does_not_get_the_lock_spends_no_token,
    a_section_with_a_token_takes_five_round_trips,
];

fn tokens_begin_at_one_and_go_up_by_every_section() {
    let (database, name) = (database_with_fences(), fresh("stock"));
    let pool = database.pool_of_one();
    assert_eq!(tokens(&mut pool.get().unwrap(), &[&name, &name, &name]), [1, 2, 3]);
    assert_eq!(token(&mut database.connect(), &name), 4, "on another connection");
    assert_sound(&pool, &name);
}

fn each_lock_has_its_own_tokens() {
    let (database, plain) = (database_with_fences(), fresh("e"));
    // All of them are different locks, to both servers. The last is as long as can be, in characters and in bytes.
    let names = [plain.clone(), format!("{plain} "), plain.replace('e', "é"), format!("{plain}\\"), "€".repeat(64)];
    let mut conn = database.connect();
    for expected in 1..=2 {
        for name in &names {
            assert_eq!(token(&mut conn, name), expected, "{name:?}");
        }
    }
}

/// On MySQL they are one lock.
fn names_that_differ_in_letter_case_share_their_tokens() {
    let (database, lower) = (database_with_fences(), fresh("straße"));
    let mut conn = database.connect();
    let mixed = lower.replace("straß", "sTrAß");
    assert_eq!(tokens(&mut conn, &[&lower, &mixed, &lower]), [1, 2, 3]);
}

fn the_token_is_committed_before_the_work_begins() {
    let (database, name) = (database_with_fences(), fresh("committed"));
    let outcome: Result<_, FenceError> = database.connect().with_fenced_lock(&name, SOON, |_, token| {
        let seen = number(&mut database.connect(), "SELECT CAST(token AS SIGNED) AS number FROM named_lock_fences");
        assert_eq!(seen, Some(token.get() as i64));
        Ok(())
    });
    outcome.unwrap();
}

fn a_token_is_spent_whatever_becomes_of_the_work() {
    let (database, name) = (database_with_fences(), fresh("spent"));
    let mut conn = database.connect();
    let failed: Result<(), FenceError> =
        conn.with_fenced_lock(&name, SOON, |_, _| Err(diesel::result::Error::NotFound.into()));
    assert!(matches!(failed, Err(FenceError::Database(_))), "{failed:?}");
    let rolled_back: Result<(), diesel::result::Error> = conn
        .with_fenced_lock(&name, SOON, |conn, _| conn.transaction(|_| Err(diesel::result::Error::RollbackTransaction)));
    assert_eq!(rolled_back, Err(diesel::result::Error::RollbackTransaction));
    let left_open: Result<(), FenceError> = conn.with_fenced_lock(&name, SOON, |conn, _| Ok(begin(conn)?));
    assert!(matches!(left_open, Err(FenceError::Lock(NamedLockError::TransactionLeftOpen { .. }))), "{left_open:?}");
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        conn.with_fenced_lock(&name, SOON, |_, _| -> Result<(), FenceError> { panic!("on purpose") })
    }));
    assert!(panicked.is_err());
    assert_eq!(token(&mut conn, &name), 5);
    assert_free(&name);
}

fn a_section_whose_session_was_killed_is_lost_and_its_token_spent() {
    let (database, name) = (database_with_fences(), fresh("killed"));
    let pool = database.pool_of_one();
    let mut conn = pool.get().unwrap();
    let own = id(&mut conn);
    let late: Result<(), FenceError> = conn.with_fenced_lock(&name, SOON, |_, token| {
        kill(own);
        wait_until("the session to end", || holder(&name).is_none());
        assert_eq!((token.get(), self::token(&mut database.connect(), &name)), (1, 2), "somebody else was in between");
        Ok(())
    });
    assert!(matches!(late, Err(FenceError::Lock(NamedLockError::Lost { .. }))), "{late:?}");
    drop(conn);
    assert_eq!(token(&mut pool.get().unwrap(), &name), 3);
}

fn a_section_that_does_not_get_the_lock_spends_no_token() {
    let (database, name) = (database_with_fences(), fresh("busy"));
    let elsewhere = hold_elsewhere(&name);
    let mut conn = database.connect();
    let busy: Result<(), FenceError> = conn.with_fenced_lock(&name, Duration::ZERO, |_, _| unreachable!("it is held"));
    assert!(matches!(busy, Err(FenceError::Lock(NamedLockError::Timeout { .. }))), "{busy:?}");
    drop(elsewhere);
    assert_eq!(token(&mut conn, &name), 1);
}

#[derive(QueryableByName)]
struct Counter {
    #[diesel(sql_type = Text, column_name = Value)]
    value: String,
}

/// By the server's own counters: statements executed and prepared.
fn round_trips_so_far(conn: &mut MysqlConnection) -> i64 {
    let query = sql_query("SHOW SESSION STATUS WHERE Variable_name IN ('Questions', 'Com_stmt_prepare')");
    let rows: Vec<Counter> = query.load(conn).unwrap();
    assert_eq!(rows.len(), 2);
    rows.iter().map(|row| row.value.parse::<i64>().unwrap()).sum()
}

fn a_section_with_a_token_takes_five_round_trips() {
    let (database, name) = (database_with_fences(), fresh("cost"));
    let mut conn = database.connect();
    token(&mut conn, &name);
    let first = round_trips_so_far(&mut conn);
    let second = round_trips_so_far(&mut conn);
    token(&mut conn, &name);
    assert_eq!(round_trips_so_far(&mut conn) - second - (second - first), 5);
}
