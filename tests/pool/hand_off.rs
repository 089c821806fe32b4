//! A held lock passes to the next thread.

use std::time::Duration;

use diesel::{prelude::*, sql_query, sql_types::Text};
use diesel_named_lock::{LockName, NamedLock, NamedLockError, NamedLockPool};

use crate::{line::*, world::*};

#[derive(QueryableByName)]
struct Status {
    #[diesel(sql_type = Text, column_name = Value)]
    value: String,
}

/// How many statements this session has sent, with this one.
fn questions(conn: &mut Conn) -> i64 {
    let row: Status = sql_query("SHOW SESSION STATUS LIKE 'Questions'").get_result(conn).unwrap();
    row.value.parse().unwrap()
}

/// Nothing but the question whether it is still held: no release, no ping of the pool, no acquire.
#[test]
fn a_hand_off_is_one_round_trip_on_the_same_connection() {
    let (locks, name) = (generous(4), lock_name("one_round_trip"));
    warm_up(&locks, &name);
    let (first, others) =
        in_line(&locks, &name, 8, |conn| (id(conn), questions(conn)), |conn, _| (id(conn), questions(conn)));
    let (session, mut asked) = first.unwrap();
    let by_hand = {
        let mut conn = locks.pool().get().unwrap();
        let before = questions(&mut conn);
        id(&mut conn);
        questions(&mut conn) - before
    };
    for other in others {
        let (other_session, questions) = other.unwrap();
        assert_eq!(other_session, session);
        assert_eq!(questions - asked - by_hand, 1);
        asked = questions;
    }
    assert_free(name.as_str());
}

/// Has the statement of the hand-off prepared, on every connection.
fn warm_up(locks: &Locks, name: &LockName) {
    let mut conns: Vec<_> = (0..locks.pool().max_size()).map(|_| locks.pool().get().unwrap()).collect();
    for conn in &mut conns {
        NamedLock::new(name).unwrap().reentrant().run(conn, |_| Outcome::Ok(())).unwrap();
    }
}

#[test]
fn the_lock_is_free_when_nobody_is_left() {
    let (locks, name) = (generous(2), lock_name("nobody_left"));
    assert_served(in_line(&locks, &name, 3, |_| (), |_, _| ()));
    assert_free(name.as_str());
    let mut conn = locks.pool().get().unwrap();
    assert_eq!(sql_query("SELECT 1").execute(&mut conn), Ok(1));
}

#[test]
fn another_session_gets_the_lock_after_as_many_hand_offs_as_allowed() {
    let name = lock_name("max_hand_offs");
    let locks = NamedLockPool::builder(pool(4)).max_hand_offs(2).hand_off_for(SOON * 10).build();
    assert_eq!(sections_before_another_session(&locks, &name), 3);
}

#[test]
fn another_session_gets_the_lock_once_the_time_for_hand_offs_is_over() {
    let name = lock_name("hand_off_for");
    let locks = NamedLockPool::builder(pool(4)).max_hand_offs(1000).hand_off_for(Duration::from_nanos(1)).build();
    assert_eq!(sections_before_another_session(&locks, &name), 1);
}

#[test]
fn another_session_gets_the_lock_next_without_hand_offs() {
    let name = lock_name("no_hand_off");
    let locks = NamedLockPool::builder(pool(4)).max_hand_offs(0).build();
    assert_eq!(sections_before_another_session(&locks, &name), 1);
}

/// How many of eight threads in line come before a session that has asked the server meanwhile.
fn sections_before_another_session(locks: &Locks, name: &LockName) -> usize {
    let order = Log::default();
    std::thread::scope(|scope| {
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
