//! What the list shows.

use std::time::Duration;

use diesel::{MysqlConnection, connection::SimpleConnection};
use diesel_named_lock::{
    LockName,
    operator::{LockState, named_locks},
};

use testkit::{clusters::connect_to, world::*};

use crate::stage::*;

#[test]
fn a_held_lock_is_listed_with_its_holder() {
    let (name, _) = scoped("held");
    let elsewhere = hold_elsewhere(name.as_str());

    let lock = state(&named_locks(&mut operator()).unwrap(), &name).expect("the lock is listed");
    assert_eq!(lock.name, name.as_str());
    assert_eq!(lock.waiters, []);
    let holder = lock.holder.expect("a holder");
    assert_eq!(holder.connection_id.get(), elsewhere.id);
    assert_eq!(holder.user.as_deref(), Some("root"));
    assert_eq!(holder.host.as_deref(), Some("localhost"));
    assert_eq!(holder.database.as_deref(), Some("test"));
    assert_eq!(holder.statement, None, "it is idle");
    assert!(holder.state_for.is_some_and(|idle| idle < SOON), "{holder}");
}

#[test]
fn a_free_lock_is_not_listed() {
    let (name, scope) = scoped("freed");
    drop(hold_elsewhere(name.as_str()));
    wait_until("the lock to be free", || holder(name.as_str()).is_none());
    let seen = named_locks(&mut operator()).unwrap();
    assert_eq!(seen.in_scope(&scope).collect::<Vec<_>>(), Vec::<&LockState>::new());
}

#[test]
fn a_lock_of_this_very_session_is_listed() {
    let (name, _) = scoped("own");
    let mut conn = operator();
    get_lock(&mut conn, name.as_str(), 0);
    let lock = state(&named_locks(&mut conn).unwrap(), &name).expect("the lock is listed");
    let holder = lock.holder.expect("a holder");
    assert_eq!(holder.connection_id.get(), id(&mut conn));
    assert!(
        holder.statement.is_some_and(|statement| statement.contains("User lock") || statement.contains("USER LEVEL"))
    );
}

#[test]
fn every_name_is_listed_as_it_is() {
    let scope = fresh("odd");
    let names = ["it's", "100%_", "ä ö", "a\\b", "`;--"].map(|name| LockName::scoped(&scope, name).unwrap());
    let mut conn = operator();
    for name in &names {
        get_lock(&mut conn, name.as_str(), 0);
    }
    let seen = named_locks(&mut conn).unwrap();
    let mut listed: Vec<&str> = seen.in_scope(&scope).map(|lock| lock.name.as_str()).collect();
    let mut expected = names.each_ref().map(LockName::as_str);
    listed.sort_unstable();
    expected.sort_unstable();
    assert_eq!(listed, expected);
}

#[test]
fn the_list_is_filtered_by_prefix_and_by_scope_in_whatever_letter_case() {
    let scope = fresh("Filter");
    let mut conn = operator();
    for name in ["Import-1", "import-2", "export"] {
        get_lock(&mut conn, &format!("{scope}:{name}"), 0);
    }
    get_lock(&mut conn, &format!("{scope}x:import-3"), 0);

    let seen = named_locks(&mut conn).unwrap();
    assert_eq!(seen.in_scope(&scope).count(), 3);
    assert_eq!(seen.in_scope(&scope.to_lowercase()).count(), 3);
    assert_eq!(seen.with_prefix(&format!("{scope}:Import-")).count(), 2);
    assert_eq!(seen.with_prefix(&scope).count(), 4);
    assert_eq!(seen.with_prefix("").count(), seen.locks.len());
}

/// The order has nothing else to follow: later connections ask first, all of them within a second or so.
#[test]
fn waiters_are_listed_in_the_order_in_which_they_get_the_lock() {
    let server = with_performance_schema();
    let (name, ran) = (LockName::new(fresh("queue")).unwrap(), Order::default());
    let mut holding = connect_to(server);
    get_lock(&mut holding, name.as_str(), 0);

    let mut conn = connect_to(server);
    let mut waiting: Vec<MysqlConnection> = (0..4).map(|_| connect_to(server)).collect();
    let mut expected = Vec::new();
    let mut threads = Vec::new();
    // One of them is inside a transaction, not the first.
    waiting[0].batch_execute("BEGIN").unwrap();
    while let Some(mut last) = waiting.pop() {
        expected.push(id(&mut last));
        threads.push(wait_elsewhere(last, &name, &ran));
        wait_for_state(&mut conn, &name, "one more waiter", |lock| lock.waiters.len() == expected.len());
    }

    let lock = state(&named_locks(&mut conn).unwrap(), &name).unwrap();
    assert_eq!(lock.holder.as_ref().map(|holder| holder.connection_id.get()), Some(id(&mut holding)));
    assert!(
        lock.waiters.iter().all(|waiter| waiter.statement.as_ref().is_some_and(|text| text.contains("GET_LOCK"))),
        "{lock:?}"
    );
    let listed: Vec<u64> = lock.waiters.iter().map(|waiter| waiter.connection_id.get()).collect();
    assert_eq!(listed, expected);

    drop(holding);
    threads.into_iter().for_each(|thread| thread.join().unwrap().unwrap());
    assert_eq!(*ran.lock().unwrap(), listed);
}

#[test]
fn waiters_of_which_the_server_does_not_say_for_what_are_listed_apart() {
    if is_mysql() {
        return; // It always says.
    }
    let (name, ran) = (LockName::new(fresh("unassigned_waiters")).unwrap(), Order::default());
    let holding = hold_elsewhere(name.as_str());
    let mut waiting = connect();
    let waiter = id(&mut waiting);
    let thread = wait_elsewhere(waiting, &name, &ran);
    wait_until_waiting(waiter);

    let seen = named_locks(&mut operator()).unwrap();
    assert_eq!(state(&seen, &name).expect("the lock is listed").waiters, []);
    assert!(
        seen.unassigned_waiters.iter().any(|session| session.connection_id == waiter),
        "{:?}",
        seen.unassigned_waiters
    );
    drop(holding);
    thread.join().unwrap().unwrap();
}

#[test]
fn mariadbs_plugin_has_the_time_that_a_lock_has_been_held() {
    // The plugin has no time of a lock that is older than itself.
    let mut conn = operator();
    let (name, _) = scoped("since");
    let mut elsewhere = hold_elsewhere(name.as_str());
    // MySQL has no such table, and that of MariaDB 10.5 no such column.
    let has_time = "SELECT COUNT(*) AS number FROM information_schema.COLUMNS \
                    WHERE TABLE_NAME = 'METADATA_LOCK_INFO' AND COLUMN_NAME = 'LOCK_TIME_MS'";
    let has_time = number(&mut conn, has_time) == Some(1);
    let mut told = || state(&named_locks(&mut conn).unwrap(), &name).expect("the lock is listed").held_for;
    if !has_time {
        assert_eq!(told(), None);
    } else {
        wait_until("the time to pass", || told().expect("a time") > Duration::from_millis(100));
        // Not that of its present statement.
        elsewhere.conn.batch_execute("SELECT 1").unwrap();
        assert!(told() > Some(Duration::from_millis(100)));
        assert!(told() < Some(SOON));
    }
}

#[test]
fn a_lock_is_asked_whether_it_is_free_and_who_holds_it() {
    let (name, _) = scoped("asked");
    let mut conn = connect();
    assert!(name.is_free(&mut conn).unwrap());
    assert_eq!(name.holder(&mut conn).unwrap(), None);

    let elsewhere = hold_elsewhere(name.as_str());
    assert!(!name.is_free(&mut conn).unwrap());
    let holder = name.holder(&mut conn).unwrap().expect("a holder");
    assert_eq!((holder.connection_id.get(), holder.user.as_deref()), (elsewhere.id, Some("root")));

    get_lock(&mut conn, &format!("{name}2"), 0);
    let own = LockName::new(format!("{name}2")).unwrap();
    assert_eq!(own.holder(&mut conn).unwrap().map(|holder| holder.connection_id.get()), Some(id(&mut conn)));
}
