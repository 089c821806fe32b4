//! The facts about servers and Diesel that this crate relies on. If an upgrade changes one of them, a test fails here first.

use std::{
    fs,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use diesel::{
    connection::{AnsiTransactionManager, CacheSize, SimpleConnection, TransactionManager},
    define_sql_function,
    prelude::*,
    r2d2::Pool,
    sql_query,
    sql_types::{Integer, Text},
};

use testkit::world::*;

use crate::cost::counters;

/// Why the statement that acquires gives MySQL and MariaDB different timeouts.
#[test]
fn mysql_rounds_a_timeout_below_half_a_second_to_none_and_mariadb_does_not() {
    let name = fresh("rounding");
    let _elsewhere = hold_elsewhere(&name);
    let query = format!("SELECT GET_LOCK('{name}', 0.45) AS number");
    let mut conn = connect();
    let mut waits = || {
        let start = Instant::now();
        assert_eq!(number(&mut conn, &query), Some(0));
        start.elapsed() >= Duration::from_millis(450)
    };
    match is_mysql() {
        // On a busy machine, an answer takes its time.
        true => wait_until("an answer at once", || !waits()),
        false => assert!(waits()),
    }
}

/// How the same statement tells the two apart.
#[test]
fn only_mariadb_reads_its_own_kind_of_comment() {
    let expected = if is_mysql() { 0 } else { 1 };
    assert_eq!(number(&mut connect(), "SELECT 0 /*M! + 1 */ AS number"), Some(expected));
}

/// Why "for ever" is a large number.
#[test]
fn a_negative_timeout_is_no_lock_on_mariadb() {
    let name = fresh("negative");
    let expected = is_mysql().then_some(1);
    assert_eq!(number(&mut connect(), &format!("SELECT GET_LOCK('{name}', -1) AS number")), expected);
}

/// Why `hashed` names are lower case, and `all_of` refuses names that differ only in case.
#[test]
fn letter_case_tells_locks_apart_on_mariadb_only() {
    let name = fresh("case");
    let _elsewhere = hold_elsewhere(&name);
    assert_eq!(get_lock(&mut connect(), &name.to_uppercase(), 0), Some(i64::from(!is_mysql())));
}

#[test]
fn accents_composed_characters_and_trailing_blanks_tell_locks_apart() {
    let tail = fresh("apart");
    for (one, other) in [("ärger", "arger"), ("ärger", "a\u{308}rger")] {
        let _elsewhere = hold_elsewhere(&format!("{one}_{tail}"));
        assert_eq!(get_lock(&mut connect(), &format!("{other}_{tail}"), 0), Some(1), "{one:?} and {other:?}");
    }
    let _elsewhere = hold_elsewhere(&tail);
    assert_eq!(get_lock(&mut connect(), &format!("{tail} "), 0), Some(1));
}

/// Why a name in another program is best ASCII. (A section sends UTF-8, whatever the session's character set.)
#[test]
fn a_latin1_client_meets_a_lock_by_utf8_bytes_on_mariadb_and_by_latin1_bytes_on_mysql() {
    let tail = fresh("latin1");
    let _elsewhere = hold_elsewhere(&format!("ä{tail}"));
    let mut client = connect();
    client.batch_execute("SET NAMES latin1").unwrap();
    for (bytes, meets) in [("C3A4", !is_mysql()), ("E4", is_mysql())] {
        let query = format!("SELECT GET_LOCK(CONCAT(_latin1 X'{bytes}', '{tail}'), 0) AS number");
        assert_eq!(number(&mut client, &query), Some(i64::from(!meets)), "{bytes}");
    }
}

/// How `all_of` finds one place for all names that MySQL takes for one: `char::to_lowercase`, its first character.
#[test]
fn mysql_folds_no_two_characters_into_one_that_rust_keeps_apart() {
    #[derive(QueryableByName)]
    struct Folded {
        #[diesel(sql_type = Text)]
        folded: String,
    }
    let fold = |c: char| c.to_lowercase().next().unwrap();
    let mut conn = connect();
    let characters: Vec<char> = ('\u{1}'..='\u{FFFF}').collect();
    for chunk in characters.chunks(1000) {
        let text: String = chunk.iter().collect();
        // What `GET_LOCK` does to a name: its character set, its lower case.
        let query = "SELECT LOWER(CONVERT(? USING utf8mb3)) AS folded";
        let row: Folded = sql_query(query).bind::<Text, _>(&text).get_result(&mut conn).unwrap();
        assert_eq!(row.folded.chars().count(), chunk.len());
        for (&c, folded) in chunk.iter().zip(row.folded.chars()) {
            assert_eq!(fold(c), fold(folded), "{c:?} is {folded:?} to the server");
        }
    }
}

#[test]
fn get_lock_folds_as_the_server_folds_text() {
    for (one, other) in [("ΟΔΟΣ", "οδοσ"), ("İ", "i"), ("Ä", "ä"), ("ς", "σ"), ("ß", "ss")] {
        let (one, other) = (fresh(one), fresh(other));
        let tail = one.split_once('_').unwrap().1;
        let other = format!("{}_{tail}", other.split_once('_').unwrap().0);
        let _elsewhere = hold_elsewhere(&one);
        let query = format!(
            "SELECT LOWER(CONVERT('{one}' USING utf8mb3)) = BINARY LOWER(CONVERT('{other}' USING utf8mb3)) AS number"
        );
        let same = is_mysql() && number(&mut connect(), &query) == Some(1);
        assert_eq!(get_lock(&mut connect(), &other, 0), Some(i64::from(!same)), "{one} and {other}");
    }
}

/// Why the release looks whether the lock is still held.
#[test]
fn a_lock_taken_twice_needs_two_releases() {
    let (mut conn, name) = (connect(), fresh("twice"));
    assert_eq!((get_lock(&mut conn, &name, 0), get_lock(&mut conn, &name, 0)), (Some(1), Some(1)));
    assert_eq!(release_lock(&mut conn, &name), Some(1));
    assert_eq!(holder(&name), Some(id(&mut conn)));
    assert_eq!(release_lock(&mut conn, &name), Some(1));
    assert_free(&name);
}

#[test]
fn a_lock_survives_whatever_ends_a_transaction() {
    let (mut conn, name, table) = (connect(), fresh("survives"), fresh("t"));
    assert_eq!(get_lock(&mut conn, &name, 0), Some(1));
    for statement in ["COMMIT", "ROLLBACK", &format!("CREATE TABLE {table} (a INT)"), &format!("DROP TABLE {table}")] {
        conn.batch_execute(statement).unwrap();
        assert_eq!(holder(&name), Some(id(&mut conn)), "after {statement}");
    }
}

#[test]
fn a_session_that_ends_frees_its_locks() {
    let name = fresh("ends");
    drop(hold_elsewhere(&name));
    assert_free_soon(&name);
}

/// How a connection is marked.
#[test]
fn diesels_pool_closes_a_connection_whose_transaction_manager_is_in_error() {
    let pool = pool_of_one();
    let mut conn = pool.get().unwrap();
    let before = id(&mut conn);
    AnsiTransactionManager::transaction_manager_status_mut(&mut *conn).set_in_error();
    assert_eq!(id(&mut conn), before, "plain statements still run, so a release can always be tried");
    drop(conn);
    assert_ne!(id(&mut pool.get().unwrap()), before);
}

/// Why a connection that can't be vouched for is marked, instead of left to the pool.
#[test]
fn diesels_pool_does_not_notice_at_check_in_that_a_session_was_killed() {
    let pool = Pool::builder().max_size(1).test_on_check_out(false).build(Manager::new(server().url())).unwrap();
    let mut conn = pool.get().unwrap();
    let own = id(&mut conn);
    kill(own);
    wait_until("the killed session to be gone", || !is_alive(own));
    assert!(sql_query("DO 0").execute(&mut conn).is_err());
    drop(conn);
    assert!(sql_query("DO 0").execute(&mut pool.get().unwrap()).is_err(), "the dead connection is served again");
}

/// How the prepared statements are forgotten.
#[test]
fn switching_diesels_statement_cache_off_and_on_empties_it() {
    let mut conn = connect();
    let prepared = |conn: &mut MysqlConnection| counters(conn)["Com_stmt_prepare"];
    let typed = |conn: &mut MysqlConnection| plain_get_lock(conn, &fresh("cache")).unwrap();
    typed(&mut conn);
    let warm = prepared(&mut conn);
    typed(&mut conn);
    // Reading the counter is a prepare, too.
    assert_eq!(prepared(&mut conn), warm + 1);
    conn.set_prepared_statement_cache_size(CacheSize::Disabled);
    conn.set_prepared_statement_cache_size(CacheSize::Unbounded);
    typed(&mut conn);
    assert_eq!(prepared(&mut conn), warm + 3);
}

/// How a test transaction is told from an open one.
#[test]
fn diesel_does_not_call_a_connection_in_a_test_transaction_broken() {
    let mut conn = connect();
    conn.begin_test_transaction().unwrap();
    assert!(!AnsiTransactionManager::is_broken_transaction_manager(&mut conn));
    let mut conn = connect();
    AnsiTransactionManager::begin_transaction(&mut conn).unwrap();
    assert!(AnsiTransactionManager::is_broken_transaction_manager(&mut conn));
}

/// Why sections clean up by themselves: at check-in, Diesel and r2d2 see neither a lock nor a raw `BEGIN`.
#[test]
fn a_pool_takes_a_connection_back_with_its_locks() {
    let (pool, name) = (pool_of_one(), fresh("leak"));
    let mut conn = pool.get().unwrap();
    assert_eq!(get_lock(&mut conn, &name, 0), Some(1));
    sql_query("DO 0").execute(&mut conn).unwrap();
    drop(conn);
    assert_eq!(holder(&name), Some(id(&mut pool.get().unwrap())));
}

define_sql_function! { #[sql_name = "GET_LOCK"] fn cached_get_lock(name: Text, seconds: Integer) -> Nullable<Integer>; }

fn plain_get_lock(conn: &mut MysqlConnection, name: &str) -> QueryResult<Option<i32>> {
    diesel::select(cached_get_lock(name, 10)).get_result(conn)
}

/// Why the statement cache is emptied after a failure: this is what happens otherwise, on every deadlock.
#[test]
fn a_cached_get_lock_that_failed_hangs_at_the_retry_with_libmariadb_only() {
    let with_libmariadb = fs::read_to_string("/proc/self/maps").unwrap().contains("libmariadb");
    let (ours, theirs) = (fresh("hang_ours"), fresh("hang_theirs"));
    let (mut one, mut other) = (connect(), connect());
    let (id_of_one, id_of_other) = (id(&mut one), id(&mut other));
    assert_eq!(plain_get_lock(&mut one, &ours).unwrap(), Some(1));
    assert_eq!(plain_get_lock(&mut other, &theirs).unwrap(), Some(1));
    let (victims, victim) = mpsc::channel();
    for (mut conn, id, wanted) in [(one, id_of_one, &theirs), (other, id_of_other, &ours)] {
        let (victims, wanted) = (victims.clone(), wanted.clone());
        thread::spawn(move || {
            if plain_get_lock(&mut conn, &wanted).is_err() {
                let (retries, retried) = mpsc::channel();
                victims.send((id, retried)).unwrap();
                // A name that is free.
                let _ = retries.send(plain_get_lock(&mut conn, &fresh("hang_retry")));
            }
        });
    }
    let (id, retried) = victim.recv_timeout(SOON).expect("a deadlock has a victim");
    // An answer may take its time on a busy machine.
    let limit = if with_libmariadb { Duration::from_secs(2) } else { SOON };
    let hangs = retried.recv_timeout(limit).is_err();
    // Ends the hang.
    let _ = connect().batch_execute(&format!("KILL {id}"));
    assert_eq!(hangs, with_libmariadb, "the client library has changed: see `session::forget_statements`");
}
