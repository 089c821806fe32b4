//! What a section writes to the log.

use diesel::result::Error;
use diesel_named_lock::{NamedLockError, NamedLockExt};
use log::Level;

use testkit::{logged::logged, world::*};

#[test]
fn acquired_and_released_are_logged_at_debug_with_their_times_and_the_connection() {
    let (mut conn, name) = (connect(), fresh("log"));
    let own = id(&mut conn);
    let entries = logged(|| {
        conn.with_named_lock(&name, SOON, |_| Ok::<_, NamedLockError>(())).unwrap();
    });
    let [acquired, released] = entries.as_slice() else { panic!("{entries:?}") };
    assert_eq!((acquired.level, released.level), (Level::Debug, Level::Debug));
    // In the text, too: most loggers don't show the keys.
    let times = acquired.text.strip_prefix(&format!("acquired named lock `{name}` on connection {own}: waited "));
    assert!(times.is_some_and(|times| times.ends_with('s')), "{acquired:?}");
    let times = released.text.strip_prefix(&format!("released named lock `{name}` on connection {own}: waited "));
    assert!(times.is_some_and(|times| times.contains("s, held ")), "{released:?}");
    assert_eq!(acquired.keys, ["waited", "connection"]);
    assert_eq!(released.keys, ["waited", "held", "connection"]);
}

#[test]
fn an_error_of_ours_that_the_works_error_hides_is_logged_at_warn() {
    let (mut conn, name) = (connect(), fresh("log_hidden"));
    let entries = logged(|| {
        let outcome: Result<(), NamedLockError> = conn.with_named_lock(&name, SOON, |conn| {
            release_lock(conn, &name);
            Err(Error::NotFound.into())
        });
        assert!(matches!(outcome, Err(NamedLockError::Database(Error::NotFound))));
    });
    let warning = entries.iter().find(|entry| entry.level == Level::Warn).unwrap_or_else(|| panic!("{entries:?}"));
    assert!(warning.text.contains(&format!("named lock `{name}` was lost")), "{warning:?}");
}

#[test]
fn a_transaction_left_open_that_a_lost_lock_hides_is_logged_at_warn() {
    let (mut conn, name) = (connect(), fresh("log_left_open"));
    let entries = logged(|| {
        let outcome: Result<(), NamedLockError> = conn.with_named_lock(&name, SOON, |conn| {
            release_lock(conn, &name);
            Ok(begin(conn)?)
        });
        assert!(matches!(outcome, Err(NamedLockError::Lost { .. })));
    });
    let texts = ["left a transaction open", "was lost"];
    for text in texts {
        assert!(entries.iter().any(|entry| entry.level == Level::Warn && entry.text.contains(text)), "{entries:?}");
    }
}

#[test]
fn a_lost_lock_is_one_warning() {
    let (mut conn, name) = (connect(), fresh("log_marked"));
    let own = id(&mut conn);
    let entries = logged(|| {
        let outcome: Result<(), NamedLockError> = conn.with_named_lock(&name, SOON, |_| {
            kill(own);
            wait_until("the killed session to be gone", || !is_alive(own));
            Ok(())
        });
        assert!(outcome.is_err());
    });
    let warnings: Vec<_> = entries.iter().filter(|entry| entry.level == Level::Warn).collect();
    assert!(warnings.len() == 1 && warnings[0].text.contains("was lost"), "{entries:?}");
    assert!(warnings[0].text.contains(&format!(" (connection {own}: waited ")), "{entries:?}");
}

#[test]
fn a_lock_that_was_not_free_is_not_a_warning() {
    let (mut conn, name) = (connect(), fresh("log_busy"));
    let _elsewhere = hold_elsewhere(&name);
    let entries = logged(|| {
        let outcome: Result<Option<()>, NamedLockError> = conn.try_with_named_lock(&name, |_| Ok(()));
        assert!(matches!(outcome, Ok(None)));
    });
    assert!(entries.iter().all(|entry| entry.level == Level::Debug), "{entries:?}");
}
