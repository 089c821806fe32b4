//! Getting rid of a holder.

use std::sync::mpsc::channel;

use diesel::{connection::SimpleConnection, prelude::*};
use diesel_named_lock::{
    NamedLockError, NamedLockExt,
    operator::{OperatorError, break_lock, kill_holder},
};

use testkit::world::*;

use crate::stage::*;

#[test]
fn the_holder_is_killed_and_named_and_its_section_is_lost() {
    let (name, _) = scoped("broken");
    let (entered, is_held) = channel();
    let (broken, is_broken) = channel::<()>();
    let section = std::thread::spawn({
        let name = name.clone();
        move || {
            connect().with_named_lock(&name, SOON, |conn| {
                entered.send(id(conn)).unwrap();
                is_broken.recv().unwrap();
                Ok::<_, NamedLockError>(())
            })
        }
    });
    let holding = is_held.recv().unwrap();

    let ended = break_lock(&mut operator(), &name).unwrap().expect("a holder");
    assert_eq!((ended.connection_id.get(), ended.user.as_deref()), (holding, Some("root")));
    assert_free(name.as_str());
    broken.send(()).unwrap();
    let outcome = section.join().unwrap();
    assert!(
        matches!(outcome, Err(NamedLockError::Lost { connection_id, .. }) if connection_id == holding),
        "{outcome:?}"
    );
}

#[test]
fn a_holder_that_was_looked_up_before_is_killed_and_nobody_else() {
    let name = scoped("looked_up").0;
    let gone = hold_elsewhere(name.as_str()).id;
    assert_free_soon(name.as_str());
    let elsewhere = hold_elsewhere(name.as_str());
    assert!(!kill_holder(&mut operator(), &name, gone.into()).unwrap(), "it no longer holds the lock");
    assert_eq!(holder(name.as_str()), Some(elsewhere.id));
    assert!(kill_holder(&mut operator(), &name, elsewhere.id.into()).unwrap());
    assert_free(name.as_str());
}

#[test]
fn what_the_holder_had_not_committed_is_rolled_back_before_the_lock_is_free() {
    let (name, _) = scoped("uncommitted");
    let (table, mut elsewhere) = (fresh("broken"), hold_elsewhere(name.as_str()));
    elsewhere.conn.batch_execute(&format!("CREATE TABLE {table} (n INT) ENGINE = InnoDB")).unwrap();
    begin(&mut elsewhere.conn).unwrap();
    elsewhere.conn.batch_execute(&format!("INSERT INTO {table} VALUES (1)")).unwrap();

    let mut conn = operator();
    assert!(break_lock(&mut conn, &name).unwrap().is_some());
    assert_eq!(number(&mut conn, &format!("SELECT COUNT(*) AS number FROM {table} FOR UPDATE")), Some(0));
    conn.batch_execute(&format!("DROP TABLE {table}")).unwrap();
}

#[test]
fn the_next_waiter_gets_the_lock_and_is_not_killed() {
    let (name, ran) = (scoped("next").0, Order::default());
    let elsewhere = hold_elsewhere(name.as_str());
    let mut waiting = connect();
    let waiter = id(&mut waiting);
    let thread = wait_elsewhere(waiting, &name, &ran);
    wait_until_waiting(waiter);

    let ended = break_lock(&mut operator(), &name).unwrap();
    assert_eq!(ended.map(|holder| holder.connection_id.get()), Some(elsewhere.id));
    thread.join().unwrap().expect("the waiter's section");
    assert_eq!(*ran.lock().unwrap(), [waiter]);
}

#[test]
fn no_session_is_killed_for_a_free_lock() {
    let (name, _) = scoped("free");
    let bystander = hold_elsewhere(&fresh("bystander"));
    assert_eq!(break_lock(&mut operator(), &name).unwrap(), None);
    assert!(is_alive(bystander.id));
}

#[test]
fn a_lock_of_ones_own_is_refused() {
    let (name, _) = scoped("own");
    let mut conn = operator();
    let own = id(&mut conn);
    get_lock(&mut conn, name.as_str(), 0);
    let outcome = break_lock(&mut conn, &name);
    assert!(
        matches!(outcome, Err(OperatorError::HeldHere { connection_id, .. }) if connection_id == own),
        "{outcome:?}"
    );
    assert_eq!(holder(name.as_str()), Some(own));
    conn.transaction(|conn| diesel::sql_query("SELECT 1").execute(conn)).expect("a working connection");
}
