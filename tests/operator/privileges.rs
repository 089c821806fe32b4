//! An account without the privilege is told which one it lacks, and the `GRANT` that is said gives it.

use diesel::connection::SimpleConnection;
use diesel_named_lock::operator::{OperatorError, break_lock, named_locks};

use testkit::world::*;

use crate::stage::*;

#[track_caller]
fn grant_of<T: std::fmt::Debug>(outcome: Result<T, OperatorError>) -> String {
    match outcome {
        Err(OperatorError::Denied { grant, .. }) => grant,
        other => panic!("not denied: {other:?}"),
    }
}

/// The name of the account needs quoting.
#[test]
fn without_its_privilege_the_list_is_an_error_with_the_grant() {
    let account = fresh("o'x@y");
    let mut conn = connect_as(&account, &[]);
    let (name, _) = scoped("unseen");
    let _elsewhere = hold_elsewhere(name.as_str());

    let grant = grant_of(named_locks(&mut conn));
    assert_eq!(id(&mut conn), id(&mut conn), "the connection stays good");
    operator().batch_execute(&grant).unwrap_or_else(|error| panic!("{grant}: {error}"));
    let mut conn = reconnect_as(&account);
    let lock = state(&named_locks(&mut conn).unwrap(), &name).expect("the lock is listed");
    assert_eq!(lock.holder.and_then(|holder| holder.user).as_deref(), Some("root"));
}

#[test]
fn one_lock_can_be_asked_without_any_privilege() {
    let mut conn = connect_as(&fresh("nobody"), &[]);
    let (name, _) = scoped("asked");
    let elsewhere = hold_elsewhere(name.as_str());
    assert!(!name.is_free(&mut conn).unwrap());
    let holder = name.holder(&mut conn).unwrap().expect("a holder");
    assert_eq!((holder.connection_id.get(), holder.user), (elsewhere.id, None));
}

#[test]
fn without_its_privilege_a_lock_is_not_broken_and_the_error_has_the_grant() {
    let (account, (name, _)) = (fresh("weak"), scoped("unbroken"));
    let mut conn = connect_as(&account, &[]);
    let mut holding = connect_as(&fresh("app"), &[]);
    get_lock(&mut holding, name.as_str(), 0);
    let own = id(&mut holding);

    let grant = grant_of(break_lock(&mut conn, &name));
    assert_eq!(holder(name.as_str()), Some(own));
    operator().batch_execute(&grant).unwrap_or_else(|error| panic!("{grant}: {error}"));
    let ended = break_lock(&mut reconnect_as(&account), &name).unwrap();
    assert_eq!(ended.map(|holder| holder.connection_id.get()), Some(own));
    assert_free(name.as_str());
}

/// MySQL's own protection of those that have it (MySQL manual, "Account Categories").
#[test]
fn the_error_says_that_a_session_with_system_user_takes_more() {
    let mut conn =
        connect_as(&fresh("admin"), &[if is_mysql() { "CONNECTION_ADMIN ON *.*" } else { "CONNECTION ADMIN ON *.*" }]);
    let (name, _) = scoped("system");
    let elsewhere = hold_elsewhere(name.as_str());
    match break_lock(&mut conn, &name) {
        Err(error @ OperatorError::Denied { .. }) if is_mysql() => {
            assert!(error.to_string().contains("SYSTEM_USER"), "{error}");
            assert!(is_alive(elsewhere.id));
        }
        outcome => assert_eq!(outcome.unwrap().map(|holder| holder.connection_id.get()), Some(elsewhere.id)),
    }
}

#[test]
fn sessions_of_the_same_account_can_be_killed_without_any_privilege() {
    let account = fresh("self");
    let mut conn = connect_as(&account, &[]);
    let (name, _) = scoped("same");
    let mut holding = reconnect_as(&account);
    get_lock(&mut holding, name.as_str(), 0);
    let ended = break_lock(&mut conn, &name).unwrap().expect("a holder");
    assert_eq!(ended.user.as_deref(), Some(&*account));
    assert_free(name.as_str());
}
