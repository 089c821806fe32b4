//! What raw SQL leaves in a pooled session is not there for the next one who checks it out.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    thread,
};

use diesel::{
    MysqlConnection,
    connection::{Instrumentation, InstrumentationEvent, SimpleConnection},
    prelude::*,
    r2d2::{self, CustomizeConnection, ManageConnection, Pool, PooledConnection, TestCustomizer},
    sql_query,
};
use diesel_named_lock::{
    NamedLock, NamedLockError, NamedLockExt,
    pool::{CleanSessions, NamedLockPool},
};
use log::Level;

use testkit::{logged::logged, world::*};

use testkit::round_trips::asked;

type Clean = PooledConnection<CleanSessions<Manager>>;
type Outcome<T> = Result<T, NamedLockError>;

/// A pool of one, whose connections are not looked at when they are checked out.
fn clean_pool() -> Pool<CleanSessions<Manager>> {
    clean_pool_of(CleanSessions::new(Manager::new(server().url())))
}

fn clean_pool_of<M: ManageConnection>(manager: M) -> Pool<M> {
    Pool::builder().max_size(1).test_on_check_out(false).connection_timeout(SOON).build(manager).expect("a pool")
}

/// What the check-in of `conn` logs at `warn`.
fn warned_at_check_in(conn: Clean) -> Vec<String> {
    let entries = logged(|| drop(conn));
    entries.into_iter().filter(|entry| entry.level == Level::Warn).map(|entry| entry.text).collect()
}

fn table(conn: &mut MysqlConnection) -> String {
    let table = fresh("left");
    sql_query(format!("CREATE TABLE {table} (a INT) ENGINE = InnoDB")).execute(conn).unwrap();
    table
}

fn rows(conn: &mut MysqlConnection, table: &str) -> Option<i64> {
    number(conn, &format!("SELECT COUNT(*) AS number FROM {table}"))
}

#[test]
fn a_lock_that_was_never_released_by_hand_is_free_and_logged() {
    let (pool, name) = (clean_pool(), fresh("leaked"));
    let mut conn = pool.get().unwrap();
    let own = id(&mut conn);
    get_lock(&mut conn, &name, 0);
    let entries = logged(|| drop(conn));
    let [warning] = entries.as_slice() else { panic!("{entries:?}") };
    assert_eq!(warning.level, Level::Warn);
    let text = format!("cleaned pooled connection {own}, in which raw SQL had left 1 named lock(s), 0 transaction(s)");
    assert_eq!(warning.text, text);
    assert_eq!(warning.keys, ["connection", "locks", "transactions"]);
    assert_free(&name);
    assert_eq!(id(&mut pool.get().unwrap()), own, "the connection is kept");
}

/// Without this, the test above could not fail.
#[test]
fn without_clean_sessions_it_is_held_on() {
    let (pool, name) = (pool_of_one(), fresh("leaked_on"));
    let own = {
        let mut conn = pool.get().unwrap();
        get_lock(&mut conn, &name, 0);
        id(&mut conn)
    };
    assert_eq!(holder(&name), Some(own));
}

#[test]
fn several_locks_and_one_taken_twice_are_free() {
    let (pool, [one, two]) = (clean_pool(), [fresh("leaked_a"), fresh("leaked_b")]);
    let mut conn = pool.get().unwrap();
    for name in [&one, &one, &two] {
        get_lock(&mut conn, name, 0);
    }
    let warned = warned_at_check_in(conn);
    assert!(warned[0].contains("left 3 named lock(s)"), "{warned:?}");
    [one, two].iter().for_each(|name| assert_free(name));
}

#[test]
fn a_transaction_begun_by_raw_sql_is_rolled_back_and_logged() {
    let pool = clean_pool();
    let table = table(&mut connect());
    for begin in ["BEGIN", "START TRANSACTION READ WRITE", "SET autocommit = 0"] {
        let mut conn = pool.get().unwrap();
        let own = id(&mut conn);
        conn.batch_execute(begin).unwrap();
        sql_query(format!("INSERT INTO {table} VALUES (1)")).execute(&mut conn).unwrap();
        let warned = warned_at_check_in(conn);
        assert!(warned[0].ends_with("left 0 named lock(s), 1 transaction(s)"), "{begin}: {warned:?}");
        assert_eq!(rows(&mut connect(), &table), Some(0), "{begin}");
        let mut conn = pool.get().unwrap();
        assert_eq!(rows(&mut conn, &table), Some(0), "{begin}: the same session sees it no more either");
        assert_eq!(id(&mut conn), own, "the connection is kept");
    }
}

#[test]
fn a_transaction_that_has_done_nothing_yet_is_ended_too() {
    let pool = clean_pool();
    let mut conn = pool.get().unwrap();
    conn.batch_execute("BEGIN").unwrap();
    assert_eq!(warned_at_check_in(conn).len(), 1);
    assert!(warned_at_check_in(pool.get().unwrap()).is_empty(), "nothing is left the next time");
}

#[test]
fn a_session_with_nothing_left_in_it_is_not_logged() {
    let (pool, name) = (clean_pool(), fresh("clean"));
    let mut conn = pool.get().unwrap();
    let outcome: Outcome<_> = conn.with_named_lock_transaction(&name, SOON, |_| Ok(()));
    outcome.unwrap();
    assert!(warned_at_check_in(conn).is_empty());
}

/// On MariaDB one, on MySQL two.
#[test]
fn a_check_in_is_as_many_round_trips_as_the_documentation_says() {
    let pool = clean_pool();
    drop(pool.get().unwrap());
    let first = asked(&mut pool.get().unwrap());
    let second = asked(&mut pool.get().unwrap());
    let mut conn = pool.get().unwrap();
    let counting = {
        let before = asked(&mut conn);
        let after = asked(&mut conn);
        (after.0 - before.0, after.1 - before.1)
    };
    let check_in = (second.0 - first.0 - counting.0, second.1 - first.1 - counting.1);
    assert_eq!(check_in, (if is_mysql() { 2 } else { 1 }, 0));
}

#[test]
fn what_an_unwinding_that_was_caught_has_left_is_cleaned() {
    let (pool, name) = (clean_pool(), fresh("caught"));
    let mut conn = pool.get().unwrap();
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        get_lock(&mut conn, &name, 0);
        conn.batch_execute("BEGIN").unwrap();
        panic!("on purpose")
    }));
    assert!(unwound.is_err());
    assert_eq!(warned_at_check_in(conn).len(), 1);
    assert_free(&name);
}

#[test]
fn a_connection_that_comes_back_while_its_thread_panics_is_closed() {
    let (pool, name) = (clean_pool(), fresh("panicking"));
    let own = thread::scope(|scope| {
        let own = id(&mut pool.get().unwrap());
        let panicked = scope.spawn(|| {
            let mut conn = pool.get().unwrap();
            get_lock(&mut conn, &name, 0);
            panic!("on purpose");
        });
        panicked.join().unwrap_err();
        own
    });
    assert_ne!(id(&mut pool.get().unwrap()), own);
    assert_free_soon(&name);
}

#[test]
fn a_killed_session_is_replaced() {
    let pool = clean_pool();
    let mut conn = pool.get().unwrap();
    let own = id(&mut conn);
    kill(own);
    wait_until("the killed session to be gone", || !is_alive(own));
    let warned = warned_at_check_in(conn);
    assert!(warned[0].contains("could not be cleaned"), "{warned:?}");
    assert_ne!(id(&mut pool.get().unwrap()), own);
}

/// `ROLLBACK` is refused in the middle of a distributed transaction.
#[test]
fn a_session_that_can_not_be_cleaned_is_closed() {
    let (pool, name) = (clean_pool(), fresh("xa"));
    let mut conn = pool.get().unwrap();
    let own = id(&mut conn);
    get_lock(&mut conn, &name, 0);
    conn.batch_execute(&format!("XA START '{name}'")).unwrap();
    let warned = warned_at_check_in(conn);
    assert!(warned[0].contains("could not be cleaned"), "{warned:?}");
    assert_ne!(id(&mut pool.get().unwrap()), own);
    assert_free_soon(&name);
}

/// A hook of the application.
struct PanicsAlways;

impl Instrumentation for PanicsAlways {
    fn on_connection_event(&mut self, _: InstrumentationEvent<'_>) {
        panic!("the hook's own panic")
    }
}

#[test]
fn a_panic_of_a_hook_costs_the_pool_no_place() {
    let (pool, name) = (clean_pool(), fresh("hook"));
    let mut conn = pool.get().unwrap();
    let own = id(&mut conn);
    get_lock(&mut conn, &name, 0);
    conn.set_instrumentation(PanicsAlways);
    drop(conn);
    assert_ne!(id(&mut pool.get().unwrap()), own);
    assert_free_soon(&name);
}

/// A manager that an application wrote, which takes every connection back.
struct TakesAll(Manager);

impl ManageConnection for TakesAll {
    type Connection = MysqlConnection;
    type Error = r2d2::Error;

    fn connect(&self) -> Result<MysqlConnection, Self::Error> {
        self.0.connect()
    }

    fn is_valid(&self, conn: &mut MysqlConnection) -> Result<(), Self::Error> {
        self.0.is_valid(conn)
    }

    fn has_broken(&self, _: &mut MysqlConnection) -> bool {
        false
    }
}

#[test]
fn a_transaction_that_diesel_knows_closes_the_connection() {
    let pool = clean_pool_of(CleanSessions::new(TakesAll(Manager::new(server().url()))));
    let mut conn = pool.get().unwrap();
    let own = id(&mut conn);
    begin(&mut conn).unwrap();
    drop(conn);
    let mut conn = pool.get().unwrap();
    assert_ne!(id(&mut conn), own);
    conn.transaction(|conn| sql_query("DO 0").execute(conn)).unwrap();
}

#[test]
fn the_test_transaction_of_a_pool_for_tests_is_kept_open() {
    let (name, table) = (fresh("test_pool"), table(&mut connect()));
    let customizer: Box<dyn CustomizeConnection<MysqlConnection, r2d2::Error>> = Box::new(TestCustomizer);
    let builder = Pool::builder().max_size(1).connection_customizer(customizer);
    let pool = builder.build(CleanSessions::new(Manager::new(server().url()))).unwrap();
    let mut conn = pool.get().unwrap();
    sql_query(format!("INSERT INTO {table} VALUES (1)")).execute(&mut conn).unwrap();
    get_lock(&mut conn, &name, 0);
    let warned = warned_at_check_in(conn);
    assert!(warned[0].ends_with("left 1 named lock(s), 0 transaction(s)"), "{warned:?}");
    assert_free(&name);
    assert_eq!(rows(&mut pool.get().unwrap(), &table), Some(1), "seen by the same session");
    assert_eq!(rows(&mut connect(), &table), Some(0), "and by nobody else");
}

#[test]
fn sections_and_hand_offs_work_on_clean_sessions() {
    let (locks, name) = (NamedLockPool::new(clean_pool()), fresh("clean_pool"));
    let lock = NamedLock::new(&*name).unwrap().timeout(SOON);
    let section = || locks.run(&lock, |conn| Outcome::Ok(holder(&name) == Some(id(conn)))).unwrap();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(section)).collect();
        assert!(threads.into_iter().all(|thread| thread.join().unwrap()));
    });
    let pool = locks.pool();
    assert!(pool.get().unwrap().with_named_lock(&name, SOON, |conn| conn.still_holds(&*name)).unwrap());
    assert_free(&name);
}

/// Whether a transaction sees what others commit during it, as it does at the level `READ COMMITTED` only.
fn sees_others(conn: &mut MysqlConnection, table: &str) -> bool {
    conn.transaction(|conn| {
        let before = rows(conn, table);
        sql_query(format!("INSERT INTO {table} VALUES (1)")).execute(&mut connect())?;
        QueryResult::Ok(rows(conn, table) > before)
    })
    .unwrap()
}

#[test]
fn transactions_after_a_check_in_have_the_isolation_level_of_their_session() {
    let pool = clean_pool();
    let table = table(&mut connect());
    drop(pool.get().unwrap());
    let mut conn = pool.get().unwrap();
    assert!(!sees_others(&mut conn, &table), "REPEATABLE READ is the default");
    sql_query("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED").execute(&mut conn).unwrap();
    drop(conn);
    let mut conn = pool.get().unwrap();
    assert!(sees_others(&mut conn, &table), "the first");
    assert!(sees_others(&mut conn, &table), "and the second");
    drop(conn);
    let mut conn = pool.get().unwrap();
    sql_query("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ").execute(&mut conn).unwrap();
    assert!(!sees_others(&mut conn, &table), "also where it was changed right after the check-out");
}
