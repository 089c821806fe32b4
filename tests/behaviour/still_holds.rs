//! Asking before a step that can't be taken back.

use diesel_named_lock::{LockName, NamedLock, NamedLockError, NamedLockExt};

use testkit::world::*;

use testkit::round_trips::asked_by;

type Outcome<T> = Result<T, NamedLockError>;

#[test]
fn a_session_holds_the_lock_of_its_section_and_no_other() {
    let (mut conn, name, other) = (connect(), fresh("holds"), fresh("holds_other"));
    let _elsewhere = hold_elsewhere(&other);
    let inside: Outcome<_> = conn.with_named_lock(&name, SOON, |conn| {
        let name = LockName::new(&*name)?;
        Ok([conn.still_holds(&name)?, conn.still_holds(&*other)?, conn.still_holds(fresh("free"))?])
    });
    assert_eq!(inside.unwrap(), [true, false, false]);
    assert!(!conn.still_holds(&*name).unwrap(), "the section is over");
}

#[test]
fn a_lock_that_was_released_by_hand_is_held_no_more() {
    let (mut conn, name) = (connect(), fresh("holds_released"));
    let section = NamedLock::new(&*name).unwrap().section(&mut conn, |conn| {
        release_lock(conn, &name);
        conn.still_holds(&*name)
    });
    let section = section.unwrap();
    assert!(!section.value.unwrap());
    assert!(matches!(section.error, Some(NamedLockError::Lost { .. })), "{:?}", section.error);
}

#[test]
fn a_killed_session_gets_no_answer() {
    let (mut conn, name) = (connect(), fresh("holds_killed"));
    let own = id(&mut conn);
    let section = NamedLock::new(&*name).unwrap().section(&mut conn, |conn| {
        kill(own);
        wait_until("the killed session to be gone", || !is_alive(own));
        conn.still_holds(&*name)
    });
    let section = section.unwrap();
    assert!(matches!(section.value, Err(NamedLockError::Database(_))), "{:?}", section.value);
    assert!(matches!(section.error, Some(NamedLockError::Lost { .. })), "{:?}", section.error);
}

#[test]
fn a_name_that_is_not_valid_is_refused_without_asking() {
    let mut conn = connect();
    let own = id(&mut conn);
    kill(own);
    wait_until("the killed session to be gone", || !is_alive(own));
    assert!(matches!(conn.still_holds(""), Err(NamedLockError::InvalidName(_))));
}

#[test]
fn asking_is_one_round_trip_on_a_warm_connection() {
    let (mut conn, name) = (connect(), LockName::new(fresh("holds_cost")).unwrap());
    conn.still_holds(&name).unwrap();
    assert_eq!(asked_by(&mut conn, |conn| assert!(!conn.still_holds(&name).unwrap())), (1, 0));
}
