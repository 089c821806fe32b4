//! A held lock passes to the next thread.

use std::{sync::mpsc, thread, time::Duration};

use diesel::{connection::SimpleConnection, prelude::*, r2d2::Pool, sql_query};
use diesel_named_lock::{
    LockName, NamedLock, NamedLockError,
    pool::{CleanSessions, NamedLockPool},
};

use testkit::world::*;

use crate::line::*;

/// Nothing but the question whether it is still held: no release, no ping of the pool, no acquire.
#[test]
fn a_hand_off_is_one_round_trip_on_the_same_connection() {
    let (locks, name) = (generous(4), lock_name("one_round_trip"));
    assert_eq!(round_trips_of_hand_offs(&locks, &name, 8), [1; 8]);
}

#[test]
fn the_lock_is_free_when_no_thread_is_left() {
    let (locks, name) = (generous(2), lock_name("nobody_left"));
    assert_served(in_line(&locks, &name, 3, |_| (), |_, _| ()));
    assert_free(name.as_str());
    let mut conn = locks.pool().get().unwrap();
    assert_eq!(sql_query("SELECT 1").execute(&mut conn), Ok(1));
}

#[test]
fn another_session_gets_the_lock_after_as_many_hand_offs_as_allowed() {
    let name = lock_name("max_hand_offs");
    let locks = NamedLockPool::builder(pool(4)).max_hand_offs(2).max_hand_off_time(SOON * 10).build();
    assert_eq!(sections_before_another_session(&locks, &name), 3);
}

#[test]
fn another_session_gets_the_lock_once_the_time_for_hand_offs_is_over() {
    let name = lock_name("max_hand_off_time");
    let locks = NamedLockPool::builder(pool(4)).max_hand_offs(1000).max_hand_off_time(Duration::from_nanos(1)).build();
    assert_eq!(sections_before_another_session(&locks, &name), 1);
}

#[test]
fn another_session_gets_the_lock_next_without_hand_offs() {
    let name = lock_name("no_hand_off");
    let locks = NamedLockPool::builder(pool(4)).max_hand_offs(0).build();
    assert_eq!(sections_before_another_session(&locks, &name), 1);
}

/// How many of eight threads in line come before a session that asks the server while they wait.
fn sections_before_another_session(locks: &Locks, name: &LockName) -> usize {
    let order = Log::default();
    thread::scope(|scope| {
        let first = |_: &mut Conn| {
            order.add("here");
            let mut other = connect();
            let other_id = id(&mut other);
            scope.spawn(|| {
                let mut other = other;
                assert_eq!(get_lock(&mut other, name.as_str(), 20), Some(1));
                order.add("elsewhere");
            });
            wait_until_waiting(other_id);
        };
        assert_served(in_line(locks, name, 8, first, |_, _| order.add("here")));
    });
    let order = order.entries();
    assert_eq!(order.len(), 10);
    order.iter().position(|&who| who == "elsewhere").unwrap()
}

#[test]
fn a_next_one_that_has_left_is_not_waited_for() {
    let (locks, name) = (generous(2), lock_name("left"));
    let outcome: Outcome<()> = locks.with_named_lock(&name, SOON, |_| {
        let gives_up = || locks.with_named_lock(&name, Duration::from_millis(20), |_| Outcome::Ok(()));
        let left = std::thread::scope(|scope| scope.spawn(gives_up).join().unwrap());
        assert!(matches!(left, Err(NamedLockError::Timeout { .. })), "{left:?}");
        Ok(())
    });
    outcome.unwrap();
    assert_free(name.as_str());
}

#[test]
fn work_that_fails_hands_on_what_was_confirmed_only() {
    let (locks, name) = (grouped(pool(2)), lock_name("fails_grouped"));
    let (entered, has_entered) = mpsc::channel();
    let dies = || {
        locks.with_named_lock(&name, SOON, |conn| -> Outcome<()> {
            let own = id(conn);
            entered.send(own).unwrap();
            wait_until_in_line(&locks, &name, 1);
            kill(own);
            loop {
                sql_query("SELECT 1").execute(conn)?;
            }
        })
    };
    thread::scope(|scope| {
        let dies = scope.spawn(dies);
        let session = has_entered.recv_timeout(SOON).expect("the first one gets in");
        let next = scope.spawn(|| locks.with_named_lock(&name, SOON, |conn| Outcome::Ok(id(conn))));
        assert!(matches!(dies.join().unwrap(), Err(NamedLockError::Database(_))));
        assert_ne!(next.join().unwrap().unwrap(), session, "the next one starts afresh");
    });
    assert_free(name.as_str());
}

#[test]
fn a_section_that_returns_anything_confirms_its_hand_off() {
    let (locks, name) = (grouped(pool(2)), lock_name("anything_grouped"));
    let (entered, has_entered) = mpsc::channel();
    let lock = NamedLock::new(&name).unwrap().timeout(SOON);
    let section = || {
        locks.section(&lock, |conn| {
            let own = id(conn);
            entered.send(()).unwrap();
            wait_until_in_line(&locks, &name, 1);
            kill(own);
            wait_until("the killed session to be gone", || !is_alive(own));
        })
    };
    thread::scope(|scope| {
        let section = scope.spawn(section);
        has_entered.recv_timeout(SOON).expect("the first one gets in");
        let next = scope.spawn(|| locks.run(&lock, |_| Outcome::Ok(())));
        assert!(matches!(section.join().unwrap().unwrap().error, Some(NamedLockError::Lost { .. })));
        next.join().unwrap().unwrap();
    });
}

#[test]
fn a_transaction_left_open_is_never_handed_on() {
    let (locks, name) = (grouped(pool(2)), lock_name("open_grouped"));
    let (first, others) = in_line(&locks, &name, 1, |conn| begin(conn).unwrap(), |conn, _| begin(conn).is_ok());
    assert!(matches!(first, Err(NamedLockError::TransactionLeftOpen { .. })), "{first:?}");
    assert!(matches!(others[0], Err(NamedLockError::TransactionLeftOpen { depth: Some(1), .. })), "{:?}", others[0]);
    assert_free(name.as_str());
}

/// A lock that was handed on is a lock like any other: its next section can lose it, and is told so.
#[test]
fn a_session_that_is_killed_after_a_hand_off_is_lost_to_its_section_only() {
    let (locks, name) = (generous(2), lock_name("killed_later"));
    let (first, others) = in_line(&locks, &name, 3, id, |conn, number| {
        let own = id(conn);
        if number == 1 {
            kill(own);
            wait_until("the killed session to be gone", || !is_alive(own));
        }
        own
    });
    let first = first.unwrap();
    assert_eq!(others[0].as_ref().ok(), Some(&first));
    assert!(matches!(others[1], Err(NamedLockError::Lost { .. })), "{:?}", others[1]);
    assert!(others[2].as_ref().is_ok_and(|&session| session != first), "{:?}", others[2]);
    assert_free(name.as_str());
}

/// On MySQL, the question whether the lock is held can't tell of the transaction.
#[test]
fn a_transaction_begun_by_raw_sql_is_handed_on_by_mysql_only() {
    let (name, table) = (lock_name("raw"), fresh("raw"));
    connect().batch_execute(&format!("CREATE TABLE {table} (a INT) ENGINE = InnoDB")).unwrap();
    let manager = CleanSessions::new(Manager::new(server().url()));
    let pool = Pool::builder().max_size(2).connection_timeout(SOON).build(manager).unwrap();
    let locks = NamedLockPool::builder(pool).max_hand_offs(1000).max_hand_off_time(SOON * 10).build();
    let rows = format!("SELECT COUNT(*) AS number FROM {table}");
    let seen = thread::scope(|scope| {
        let next = locks.with_named_lock(&name, SOON, |conn| {
            let next = scope.spawn(|| locks.with_named_lock(&name, SOON, |conn| Outcome::Ok(number(conn, &rows))));
            wait_until("the next thread to be in line", || locks.waiting(&name) == 1);
            conn.batch_execute("BEGIN")?;
            sql_query(format!("INSERT INTO {table} VALUES (1)")).execute(conn)?;
            Outcome::Ok(next)
        });
        next.unwrap().join().unwrap().unwrap()
    });
    assert_eq!(seen, Some(i64::from(is_mysql())), "rows of the transaction before");
    assert_free(name.as_str());
    assert_eq!(number(&mut connect(), &rows), Some(0), "rolled back when the connection came back");
}
