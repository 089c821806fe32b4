//! `KILL QUERY` at the statements of the tokens.

use std::thread;

use diesel::{connection::SimpleConnection, prelude::*};
use diesel_named_lock::fence::{self, FenceError};
use testkit::{striking::Striking, world::*};

use crate::stage::*;

testkit::trials![
    a_token_is_given_out_however_often_a_statement_is_struck,
    a_table_whose_statements_are_struck_beyond_the_bound_is_not_said_to_be_missing,
    a_check_whose_statement_is_killed_is_repeated,
];

const STATEMENTS: [&str; 3] = ["COMMIT", "INSERT INTO named_lock_fences", "LAST_INSERT_ID()"];

/// A token that is spent twice leaves a gap. Tokens still go up.
fn a_token_is_given_out_however_often_a_statement_is_struck() {
    let (database, name) = (database_with_fences(), fresh("struck"));
    let proxy = Striking::to(&database.tcp_url());
    let mut conn = MysqlConnection::establish(proxy.url()).unwrap();
    let mut last = 0;
    for (statement, times) in STATEMENTS.iter().flat_map(|statement| [1, 2, 9].map(|times| (statement, times))) {
        proxy.strike(times, statement);
        let outcome: Result<_, FenceError> = conn.with_fenced_lock(&name, SOON, |_, token| {
            let seen = "SELECT CAST(token AS SIGNED) AS number FROM named_lock_fences";
            assert_eq!(number(&mut database.connect(), seen), Some(token.get() as i64), "{statement}");
            Ok(token.get())
        });
        let token = outcome.unwrap_or_else(|error| panic!("{statement} struck {times} times: {error}"));
        assert_eq!(proxy.struck(), times, "{statement}");
        assert!(token > last, "{statement} struck {times} times: {token} after {last}");
        last = token;
    }
}

fn a_table_whose_statements_are_struck_beyond_the_bound_is_not_said_to_be_missing() {
    let (database, name) = (database_with_fences(), fresh("struck_on"));
    let proxy = Striking::to(&database.tcp_url());
    let mut conn = MysqlConnection::establish(proxy.url()).unwrap();
    proxy.strike(u32::MAX, "named_lock_fences");
    let outcome: Result<(), FenceError> = conn.with_fenced_lock(&name, SOON, |_, _| unreachable!("no token"));
    assert!(matches!(outcome, Err(FenceError::NoToken { .. })), "{outcome:?}");
    proxy.strike(0, "");
    assert_eq!(token(&mut conn, &name), 1, "on the same connection");
}

/// The row is locked, so that the statement lasts until it is killed.
fn a_check_whose_statement_is_killed_is_repeated() {
    let (database, name) = (database_with_fences(), fresh("killed_check"));
    let (mut writer, mut other) = (database.connect(), database.connect());
    let token = token(&mut writer, &name);
    let own = id(&mut writer);
    other.batch_execute("BEGIN; UPDATE named_lock_fences SET token = token").unwrap();
    let outcome: Result<(), FenceError> = thread::scope(|scope| {
        scope.spawn(move || {
            let query = format!(
                "SELECT COUNT(*) AS number FROM {} WHERE ID = {own} AND INFO LIKE 'SELECT token%'",
                process_list()
            );
            let mut onlooker = connect();
            wait_until("the check", || number(&mut onlooker, &query) == Some(1));
            kill_query(own);
            other.batch_execute("ROLLBACK").unwrap();
        });
        writer.transaction(|writer| fence::check(writer, &name, fencing(token)))
    });
    outcome.unwrap();
}
