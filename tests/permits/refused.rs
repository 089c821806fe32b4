//! Sections that would be wrong, or wait for ever.

use diesel::{connection::SimpleConnection, prelude::*};
use diesel_named_lock::{ConnectionId, NamedLockError, permits::SharedLock};

use testkit::world::*;

use crate::stage::*;

#[test]
fn a_second_permit_on_the_same_connection_is_refused_and_the_first_is_kept() {
    let (mut conn, name) = (connect(), fresh("second"));
    let own = id(&mut conn);
    let outcome: Outcome<Outcome<()>> = permits(&name, 3).permit().run(&mut conn, |conn| {
        let inner = permits(&name, 3).permit().run(conn, |_| Ok(()));
        assert_eq!(holder(&slot(&name, 1)), Some(own));
        Ok(inner)
    });
    match outcome.unwrap() {
        Err(NamedLockError::AlreadyHeld { name: held, connection_id, .. }) => {
            assert_eq!((held.as_str(), connection_id.map(ConnectionId::get)), (&*format!("{name}:permit"), Some(own)));
        }
        other => panic!("{other:?}"),
    }
    assert_all_free(&name, 3);
}

#[test]
fn an_upgrade_and_a_second_exclusive_section_are_refused() {
    let (mut conn, name) = (connect(), fresh("upgrade"));
    let lock = SharedLock::new(&*name).unwrap();
    for (outer, inner) in [
        (lock.shared(), lock.exclusive()),
        (lock.shared(), lock.shared()),
        (lock.exclusive(), lock.shared()),
        (lock.exclusive(), lock.exclusive()),
    ] {
        let outcome: Outcome<Outcome<()>> = outer.run(&mut conn, |conn| Ok(inner.run(conn, |_| Ok(()))));
        let inner = outcome.unwrap();
        assert!(matches!(inner, Err(NamedLockError::AlreadyHeld { .. })), "{inner:?}");
    }
}

/// Neither waits for the other.
#[test]
fn an_upgrade_is_refused_at_once_however_the_lock_is_held_by_others() {
    let (mut conn, name) = (connect(), fresh("upgrade_contended"));
    let lock = SharedLock::new(&*name).unwrap();
    let turnstile = format!("{name}:shared#wait");
    let reader = hold(lock.shared());
    let outcome: Outcome<()> = lock.shared().run(&mut conn, |conn| {
        for upgrade in [lock.exclusive(), lock.exclusive().reentrant()] {
            let refused = upgrade.timeout(LONG).run(conn, |_| Outcome::Ok(()));
            assert!(matches!(refused, Err(NamedLockError::AlreadyHeld { .. })), "beside a reader: {refused:?}");
            assert_free(&turnstile);
        }
        let writer = start_as_head(lock.exclusive().timeout(LONG), &turnstile);
        let refused = lock.exclusive().timeout(LONG).run(conn, |_| Outcome::Ok(()));
        assert!(matches!(refused, Err(NamedLockError::AlreadyHeld { .. })), "behind a writer: {refused:?}");
        assert_eq!(holder(&turnstile), Some(writer.id));
        kill(writer.id);
        writer.outcome().0.unwrap_err();
        Ok(())
    });
    outcome.unwrap();
    reader.end().unwrap();
}

#[test]
fn a_section_inside_a_transaction_is_refused() {
    let (mut conn, name) = (connect(), fresh("transaction"));
    let outcome: Outcome<()> = conn.transaction(|conn| permits(&name, 2).permit().run(conn, |_| Ok(())));
    assert!(matches!(outcome, Err(NamedLockError::OpenTransaction { .. })), "{outcome:?}");
    assert_all_free(&name, 2);
}

#[test]
fn a_session_with_a_pseudo_thread_id_is_refused_and_keeps_nothing() {
    let (mut conn, name) = (connect(), fresh("pseudo"));
    let own = id(&mut conn);
    conn.batch_execute("SET pseudo_thread_id = 4000000000").unwrap();
    let lock = SharedLock::new(&*name).unwrap();
    for lock in [permits(&name, 2).permit(), permits(&name, 2).permits(2).unwrap(), lock.shared(), lock.exclusive()] {
        match lock.run(&mut conn, |_| Outcome::Ok(())) {
            Err(NamedLockError::PseudoThreadId { connection_id, .. }) => assert_eq!(connection_id.get(), own),
            other => panic!("{other:?}"),
        }
    }
    assert_all_free(&name, 2);
    assert!(is_alive(own));
}
