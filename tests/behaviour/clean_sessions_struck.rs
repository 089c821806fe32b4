//! `KILL QUERY` at the statements with which a pooled session is cleaned.

use diesel::{
    connection::SimpleConnection,
    prelude::*,
    r2d2::{Pool, PooledConnection},
};
use diesel_named_lock::pool::CleanSessions;
use log::Level;
use testkit::striking::Striking;

use testkit::{logged::logged, world::*};

type Clean = PooledConnection<CleanSessions<Manager>>;

/// Checks a connection in whose statements are struck from then on, as often as said, if their SQL contains a text. Tells the
/// warnings, whether the connection was kept, and how many roll-backs its session has made.
fn struck_at_check_in(times: u32, sql: &str, leave: fn(&mut Clean)) -> (Vec<String>, bool, i64) {
    let proxy = Striking::to(server().tcp_url());
    let manager = CleanSessions::new(Manager::new(proxy.url()));
    let pool = Pool::builder().max_size(1).test_on_check_out(false).connection_timeout(SOON).build(manager).unwrap();
    let mut conn = pool.get().unwrap();
    let own = id(&mut conn);
    leave(&mut conn);
    let before = roll_backs(&mut conn);
    proxy.strike(times, sql);
    let entries = logged(|| drop(conn));
    assert_eq!(proxy.struck(), times, "`{sql}`");
    let mut conn = pool.get().unwrap();
    let warned = entries.into_iter().filter(|entry| entry.level == Level::Warn).map(|entry| entry.text).collect();
    (warned, id(&mut conn) == own, roll_backs(&mut conn) - before)
}

fn roll_backs(conn: &mut Clean) -> i64 {
    #[derive(QueryableByName)]
    struct Counter {
        #[diesel(sql_type = diesel::sql_types::Text, column_name = Value)]
        value: String,
    }
    let counter = diesel::sql_query("SHOW SESSION STATUS LIKE 'Com_rollback'").get_result::<Counter>(conn).unwrap();
    counter.value.parse().unwrap()
}

/// What is struck: all that comes, or the statement by which MySQL tells whether a transaction is open.
const STATEMENTS: [&str; 2] = ["", "SET @@transaction_isolation"];

fn for_all(test: impl Fn(u32, &str)) {
    for sql in &STATEMENTS[..if is_mysql() { 2 } else { 1 }] {
        [1, 2, 4, 5, 9].into_iter().for_each(|times| test(times, sql));
    }
}

#[test]
fn a_clean_session_is_kept_unchanged_and_not_logged_however_often_its_check_in_is_struck() {
    for_all(|times, sql| {
        let seen = struck_at_check_in(times, sql, |_| ());
        assert_eq!(seen, (vec![], true, 0), "`{sql}` struck {times} times");
    });
}

#[test]
fn what_raw_sql_has_left_is_cleaned_and_logged_however_often_the_check_in_is_struck() {
    for_all(|times, sql| {
        let (warned, kept, roll_backs) = struck_at_check_in(times, sql, |conn| {
            get_lock(conn, &fresh("left"), 0);
            conn.batch_execute("BEGIN").unwrap();
        });
        let [warning] = warned.as_slice() else { panic!("`{sql}` struck {times} times: {warned:?}") };
        assert!(warning.ends_with("1 named lock(s), 1 transaction(s)"), "`{sql}` struck {times} times: {warning}");
        assert_eq!((kept, roll_backs), (true, 1), "`{sql}` struck {times} times");
    });
}
