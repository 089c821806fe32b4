//! Sessions without autocommit, transactions that raw SQL has begun, and other settings.

use diesel::{connection::SimpleConnection, prelude::*};
use diesel_named_lock::fence::{self, FenceError};
use test_server::Server;

use testkit::world::*;

use crate::stage::*;

testkit::trials![
    tokens_go_up_in_sessions_without_autocommit,
    tokens_go_up_on_a_server_without_autocommit,
    a_token_is_committed_before_the_work_also_if_raw_sql_has_begun_a_transaction,
    a_token_is_spent_if_raw_sql_rolls_back_in_the_work,
    tokens_are_given_out_and_checked_whatever_the_session_is_set_to,
    without_a_database_the_error_is_that_of_a_missing_table,
];

const BEGUN: [&str; 3] = ["SET autocommit = 0", "BEGIN", "SET completion_type = 'CHAIN', autocommit = 0"];

fn tokens_go_up_in_sessions_without_autocommit() {
    let (database, name) = (database_with_fences(), fresh("off"));
    let tokens = [(); 3].map(|()| {
        let mut conn = database.connect();
        conn.batch_execute("SET autocommit = 0").unwrap();
        token(&mut conn, &name)
    });
    assert_eq!(tokens, [1, 2, 3]);
}

fn tokens_go_up_on_a_server_without_autocommit() {
    let server = Server::start(server().product()).expect("a server");
    let connect = || MysqlConnection::establish(server.url()).expect("a connection");
    connect().batch_execute(UP).and_then(|()| connect().batch_execute("SET GLOBAL autocommit = 0")).unwrap();
    assert_eq!([(); 3].map(|()| token(&mut connect(), "global")), [1, 2, 3]);
}

fn a_token_is_committed_before_the_work_also_if_raw_sql_has_begun_a_transaction() {
    let database = database_with_fences();
    for begun in BEGUN {
        let (mut conn, name) = (database.connect(), fresh("begun"));
        conn.batch_execute(begun).unwrap();
        let outcome: Result<_, FenceError> = conn.with_fenced_lock(&name, SOON, |_, token| {
            let check = |conn: &mut MysqlConnection| fence::check(conn, &name, token);
            database.connect().transaction(check)
        });
        outcome.unwrap_or_else(|error| panic!("{begun}: {error}"));
    }
}

fn a_token_is_spent_if_raw_sql_rolls_back_in_the_work() {
    let database = database_with_fences();
    for begun in BEGUN {
        let (mut conn, name) = (database.connect(), fresh("rolled_back"));
        conn.batch_execute(begun).unwrap();
        let outcome: Result<(), FenceError> =
            conn.with_fenced_lock(&name, SOON, |conn, _| Ok(conn.batch_execute("ROLLBACK")?));
        outcome.unwrap();
        drop(conn);
        assert_eq!(token(&mut database.connect(), &name), 2, "{begun}");
    }
}

fn tokens_are_given_out_and_checked_whatever_the_session_is_set_to() {
    let database = database_with_fences();
    let settings = [
        "SET sql_mode = 'ANSI'",
        "SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE",
        "SET NAMES latin1",
        "SET NAMES gbk",
        "SET NAMES sjis",
        "SET character_set_connection = ucs2",
    ];
    // From 10.6.18 on.
    let of_mariadb =
        ["SET sql_mode = 'EMPTY_STRING_IS_NULL'", "SET /*M!100618 innodb_snapshot_isolation = 1, */ @unused = 1"];
    for setting in settings.into_iter().chain(of_mariadb.into_iter().filter(|_| !is_mysql())) {
        let (mut conn, name) = (database.connect(), fresh("é店"));
        conn.batch_execute(setting).unwrap();
        for expected in 1..=3 {
            assert_eq!(token(&mut conn, &name), expected, "{setting}");
            // One that has a snapshot from before the token.
            let mut writer = database.connect();
            writer.batch_execute(setting).unwrap();
            writer.transaction(|writer| fence::check(writer, &name, fencing(expected))).expect(setting);
        }
    }
    // The server leaves out the row: only if the crate sets no limit.
    let (mut conn, name) = (database.connect(), fresh("no_rows"));
    assert_eq!(token(&mut conn, &name), 1);
    conn.batch_execute("SET sql_select_limit = 0").unwrap();
    conn.transaction(|conn| fence::check(conn, &name, fencing(1))).unwrap();
}

fn without_a_database_the_error_is_that_of_a_missing_table() {
    let mut conn = MysqlConnection::establish(&server().url().replacen("/test", "", 1)).unwrap();
    let outcome: Result<(), FenceError> =
        conn.with_fenced_lock(fresh("nowhere"), SOON, |_, _| unreachable!("no table"));
    assert!(matches!(outcome, Err(FenceError::NoTable { .. })), "{outcome:?}");
}
