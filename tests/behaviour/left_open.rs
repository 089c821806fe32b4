//! Transactions that the work leaves open, and that are hard to roll back.

use diesel::{connection::SimpleConnection, prelude::*};
use diesel_named_lock::{NamedLockError, NamedLockExt};
use url::Url;

use testkit::world::*;

type Outcome<T> = Result<T, NamedLockError>;

/// DDL commits, and the savepoint of the inner level is gone with it.
#[test]
fn two_levels_that_are_left_open_after_ddl_are_reported_and_the_session_lives() {
    for levels in [1, 2, 3] {
        let (name, table, mut conn) = (fresh("ddl"), fresh("ddl"), connect());
        let own = id(&mut conn);
        let outcome: Outcome<_> = conn.with_named_lock(&*name, SOON, |conn| {
            (0..levels).try_for_each(|_| begin(conn))?;
            conn.batch_execute(&format!("CREATE TABLE {table} (a INT) ENGINE = InnoDB"))?;
            Ok(())
        });
        assert!(
            matches!(outcome, Err(NamedLockError::TransactionLeftOpen { depth, .. }) if depth == Some(levels)),
            "{levels}: {outcome:?}"
        );
        assert_free(&name);
        assert_eq!(conn.transaction(|conn| QueryResult::Ok(id(conn))), Ok(own), "{levels}");
    }
}

/// Statements that are sent as text count for such a limit, prepared ones don't.
#[test]
fn a_roll_back_that_the_accounts_limit_refuses_costs_the_session_and_frees_the_lock() {
    let (name, account, table) = (fresh("limited_account"), fresh("u"), fresh("t"));
    assert!(server().pid().is_some(), "unset DATABASE_URL: this test makes an account");
    let limit = "WITH MAX_QUERIES_PER_HOUR 60";
    connect()
        .batch_execute(&format!(
            "CREATE TABLE {table} (a INT) ENGINE = InnoDB; CREATE USER '{account}'@'localhost' {limit}; \
             GRANT ALL ON test.* TO '{account}'@'localhost'"
        ))
        .unwrap();
    let mut url = Url::parse(server().url()).unwrap();
    url.set_username(&account).unwrap();
    let mut conn = MysqlConnection::establish(url.as_str()).unwrap();
    let outcome: Outcome<_> = conn.with_named_lock(&*name, SOON, |conn| {
        begin(conn)?;
        conn.batch_execute(&format!("INSERT INTO {table} VALUES (1)"))?;
        (0..60).find(|_| conn.batch_execute("DO 0").is_err()).expect("the limit of the account");
        conn.batch_execute("KILL CONNECTION_ID()").expect_err("as text, it is refused, too");
        assert_eq!(holder(&name), Some(id(conn)));
        Ok(())
    });
    assert!(matches!(outcome, Err(NamedLockError::Lost { source: Some(_), .. })), "{outcome:?}");
    assert_free_soon(&name);
    assert_eq!(number(&mut connect(), &format!("SELECT COUNT(*) AS number FROM {table}")), Some(0));
}
