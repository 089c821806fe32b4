//! What becomes of a section whose session or connection is no longer what it was.

use std::{
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use diesel::{prelude::*, sql_query};
use diesel_named_lock::{NamedLock, NamedLockError, NamedLockExt};
use log::Level;
use test_server::Server;

use testkit::{logged::logged, world::*};

type Outcome<T> = Result<T, NamedLockError>;

#[test]
fn a_session_killed_during_the_work_is_lost_and_the_pool_replaces_it() {
    let (pool, name) = (pool_of_one(), fresh("killed"));
    let mut conn = pool.get().unwrap();
    let own = id(&mut conn);
    let outcome: Outcome<_> = conn.with_named_lock(&name, SOON, |_| {
        kill(own);
        wait_until("the killed session to be gone", || !is_alive(own));
        Ok("precious")
    });
    match outcome {
        Err(NamedLockError::Lost { connection_id, source, .. }) => {
            assert_eq!(connection_id, own);
            assert!(source.is_some(), "the release failed with something");
        }
        other => panic!("{other:?}"),
    }
    assert_free(&name);
    drop(conn);
    assert_sound(&pool, &name);
}

#[test]
fn the_value_of_work_whose_session_was_killed_is_kept_by_a_section() {
    let (mut conn, name) = (connect(), fresh("killed_value"));
    let own = id(&mut conn);
    let section = NamedLock::new(&name).unwrap().section(&mut conn, |_| {
        kill(own);
        wait_until("the killed session to be gone", || !is_alive(own));
        "precious"
    });
    let section = section.unwrap();
    assert_eq!(section.value, "precious");
    assert!(matches!(section.error, Some(NamedLockError::Lost { .. })), "{:?}", section.error);
}

#[test]
fn the_error_of_work_whose_session_was_killed_wins() {
    let (pool, name) = (pool_of_one(), fresh("killed_err"));
    let mut conn = pool.get().unwrap();
    let outcome: Outcome<()> = conn.with_named_lock(&name, SOON, |conn| {
        kill(id(conn));
        loop {
            sql_query("SELECT 1").execute(conn)?;
        }
    });
    assert!(matches!(outcome, Err(NamedLockError::Database(_))), "{outcome:?}");
    assert_free_soon(&name);
    drop(conn);
    assert_sound(&pool, &name);
}

#[test]
fn a_session_killed_in_a_transaction_of_the_work_is_lost() {
    let (pool, name) = (pool_of_one(), fresh("killed_tx"));
    let mut conn = pool.get().unwrap();
    let own = id(&mut conn);
    let outcome: Outcome<_> = conn.with_named_lock(&name, SOON, |conn| {
        begin(conn)?;
        kill(own);
        wait_until("the killed session to be gone", || !is_alive(own));
        Ok(())
    });
    assert!(matches!(outcome, Err(NamedLockError::Lost { source: Some(_), .. })), "{outcome:?}");
    assert_free(&name);
    drop(conn);
    assert_sound(&pool, &name);
}

#[test]
fn a_panic_after_the_session_was_killed_is_resumed() {
    let (pool, name) = (pool_of_one(), fresh("killed_panic"));
    let mut conn = pool.get().unwrap();
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        let _: Outcome<()> = conn.with_named_lock(&name, SOON, |conn| {
            kill(id(conn));
            panic!("on purpose")
        });
    }));
    assert_eq!(unwound.unwrap_err().downcast_ref(), Some(&"on purpose"));
    assert_free_soon(&name);
    drop(conn);
    assert_sound(&pool, &name);
}

#[test]
fn a_closure_that_releases_the_lock_by_hand_loses_it() {
    let (pool, name) = (pool_of_one(), fresh("self_released"));
    let mut conn = pool.get().unwrap();
    let before = id(&mut conn);
    let outcome: Outcome<_> = conn.with_named_lock(&name, SOON, |conn| Ok(release_lock(conn, &name)));
    assert!(matches!(outcome, Err(NamedLockError::Lost { source: None, .. })), "{outcome:?}");
    assert_free(&name);
    drop(conn);
    assert_sound(&pool, &name);
    assert_eq!(id(&mut pool.get().unwrap()), before, "the session has done nothing wrong");
}

#[test]
fn a_lock_that_another_session_got_is_lost_and_stays_held_there() {
    let (mut conn, name) = (connect(), fresh("stolen"));
    let mut thief = connect();
    let outcome: Outcome<_> = conn.with_named_lock(&name, SOON, |conn| {
        release_lock(conn, &name);
        Ok(get_lock(&mut thief, &name, 0))
    });
    assert!(matches!(outcome, Err(NamedLockError::Lost { .. })), "{outcome:?}");
    assert_eq!(holder(&name), Some(id(&mut thief)));
}

#[test]
fn a_connection_swapped_in_the_closure_is_reported_and_the_stray_session_killed() {
    let (pool, name) = (pool_of_one(), fresh("swapped"));
    let mut conn = pool.get().unwrap();
    let mut other = connect();
    let (own, others) = (id(&mut conn), id(&mut other));
    let outcome: Outcome<_> = conn.with_named_lock(&name, SOON, |conn| {
        mem::swap(&mut **conn, &mut other);
        Ok(())
    });
    match outcome {
        Err(NamedLockError::ConnectionSwapped { expected, found, ended, .. }) => {
            assert_eq!((expected.get(), found.get(), ended), (own, others, true));
        }
        other => panic!("{other:?}"),
    }
    assert_free(&name);
    drop(conn);
    assert_sound(&pool, &name);
}

#[test]
fn a_connection_replaced_in_the_closure_is_reported() {
    let (pool, name) = (pool_of_one(), fresh("replaced"));
    let mut conn = pool.get().unwrap();
    let outcome: Outcome<_> = conn.with_named_lock(&name, SOON, |conn| {
        **conn = connect();
        wait_until("the session that was replaced to end", || holder(&name).is_none());
        Ok(())
    });
    assert!(
        matches!(outcome, Err(NamedLockError::ConnectionSwapped { ended: false, source: None, .. })),
        "{outcome:?}"
    );
    assert_free(&name);
    drop(conn);
    assert_sound(&pool, &name);
}

#[test]
fn a_swapped_in_connection_keeps_its_own_transaction_and_its_own_locks() {
    let (mut conn, name, table) = (connect(), fresh("swapped_tx"), fresh("t"));
    sql_query(format!("CREATE TABLE {table} (a INT) ENGINE = InnoDB")).execute(&mut conn).unwrap();
    let mut other = connect();
    let others_lock = fresh("others");
    assert_eq!(get_lock(&mut other, &others_lock, 0), Some(1));
    begin(&mut other).unwrap();
    sql_query(format!("INSERT INTO {table} VALUES (1)")).execute(&mut other).unwrap();
    let outcome: Outcome<_> = conn.with_named_lock(&name, SOON, |conn| {
        mem::swap(conn, &mut other);
        Ok(())
    });
    assert!(matches!(outcome, Err(NamedLockError::ConnectionSwapped { .. })), "{outcome:?}");
    assert_eq!(number(&mut conn, &format!("SELECT COUNT(*) AS number FROM {table}")), Some(1), "not rolled back");
    assert_eq!(holder(&others_lock), Some(id(&mut conn)));
    assert_free(&name);
}

#[test]
fn a_connection_that_diesel_calls_broken_is_refused_before_any_work() {
    use diesel::connection::{AnsiTransactionManager, TransactionManager};
    let (mut conn, name) = (connect(), fresh("broken"));
    AnsiTransactionManager::transaction_manager_status_mut(&mut conn).set_in_error();
    let outcome: Outcome<()> = conn.with_named_lock(&name, SOON, |_| unreachable!("refused"));
    assert!(matches!(outcome, Err(NamedLockError::Broken { .. })), "{outcome:?}");
    assert!(outcome.unwrap_err().is_transient(), "another connection will do");
    assert_free(&name);
}

#[test]
fn a_connection_whose_server_is_gone_is_refused_and_the_pool_replaces_it() {
    let (pool, name) = (pool_of_one(), fresh("gone"));
    let plain = NamedLock::new(&name).unwrap();
    for lock in [plain.clone(), plain.clone().timeout(Duration::from_millis(1)), plain.reentrant()] {
        let mut conn = pool.get().unwrap();
        let own = id(&mut conn);
        kill(own);
        wait_until("the killed session to be gone", || !is_alive(own));
        let outcome: Outcome<()> = lock.run(&mut conn, |_| unreachable!("refused"));
        assert!(matches!(outcome, Err(NamedLockError::Broken { .. })), "{outcome:?}");
        drop(conn);
        assert_sound(&pool, &name);
    }
}

#[test]
fn a_swapped_out_session_that_holds_the_lock_no_more_is_left_alone() {
    let (mut conn, name) = (connect(), fresh("swapped_innocent"));
    let mut other = connect();
    let own = id(&mut conn);
    let outcome: Outcome<_> = conn.with_named_lock(&name, SOON, |conn| {
        release_lock(conn, &name);
        mem::swap(conn, &mut other);
        Ok(())
    });
    assert!(matches!(outcome, Err(NamedLockError::ConnectionSwapped { ended: false, .. })), "{outcome:?}");
    assert!(is_alive(own));
}

/// There, the connection id belongs to somebody else.
#[test]
fn a_connection_to_another_server_swapped_in_kills_no_session_there() {
    let (mut conn, name) = (connect(), fresh("swapped_server"));
    let own = id(&mut conn);
    let other_server = Server::start(server().product()).expect("another server");
    let mut there = MysqlConnection::establish(other_server.url()).unwrap();
    let mut innocents = vec![];
    // Until a session there has our id; or one here theirs.
    while id(&mut there) < own {
        innocents.push(mem::replace(&mut there, MysqlConnection::establish(other_server.url()).unwrap()));
        innocents.retain_mut(|innocent| id(innocent) == own);
    }
    let outcome: Outcome<_> = conn.with_named_lock(&name, SOON, |conn| {
        *conn = MysqlConnection::establish(other_server.url()).unwrap();
        Ok(())
    });
    match outcome {
        Err(error @ NamedLockError::ConnectionSwapped { ended: false, source: None, .. }) => {
            assert!(error.to_string().contains("was not seen to hold the lock any more"), "{error}");
        }
        other => panic!("{other:?}"),
    }
    for mut innocent in innocents.into_iter().chain([there]) {
        sql_query("DO 0").execute(&mut innocent).expect("nobody was ended there");
    }
}

#[test]
fn a_connection_swapped_inside_a_re_entrant_section_is_reported_and_left_to_the_outer_one() {
    let (mut conn, name) = (connect(), fresh("swapped_reentrant"));
    let mut other = connect();
    let own = id(&mut conn);
    assert_eq!(get_lock(&mut conn, &name, 0), Some(1));
    let outcome: Outcome<_> = NamedLock::new(&name).unwrap().reentrant().run(&mut conn, |conn| {
        mem::swap(conn, &mut other);
        Ok(())
    });
    assert!(matches!(outcome, Err(NamedLockError::ConnectionSwapped { ended: false, .. })), "{outcome:?}");
    assert_eq!(holder(&name), Some(own), "a lock taken by hand is not ours to release");
}

#[test]
fn a_transaction_that_is_rolled_back_while_the_lock_was_lost_as_well_is_not_forgotten() {
    let (mut conn, name) = (connect(), fresh("lost_and_open"));
    let outcome: Outcome<_> = conn.with_named_lock(&name, SOON, |conn| {
        begin(conn)?;
        Ok(release_lock(conn, &name))
    });
    assert!(matches!(outcome, Err(NamedLockError::Lost { .. })), "{outcome:?}");
    conn.transaction(|conn| sql_query("DO 0").execute(conn)).expect("no transaction is open");
}

/// The error of the work wins, here that of `COMMIT`.
#[test]
fn a_session_killed_inside_a_transaction_is_one_warning_and_its_loss_can_be_learnt_of() {
    let name = fresh("killed_in_transaction");
    let work = |conn: &mut MysqlConnection| -> Outcome<()> {
        let own = id(conn);
        kill(own);
        wait_until("the killed session to be gone", || !is_alive(own));
        Ok(())
    };
    let entries = logged(|| {
        let outcome = connect().with_named_lock_transaction(&name, SOON, work);
        assert!(matches!(outcome, Err(NamedLockError::Database(_))), "{outcome:?}");
    });
    let warnings: Vec<_> = entries.iter().filter(|entry| entry.level == Level::Warn).collect();
    assert!(matches!(warnings.as_slice(), [warning] if warning.text.contains("was lost")), "{entries:?}");

    let lock = NamedLock::new(&name).unwrap().timeout(SOON);
    let section = lock.section(&mut connect(), |conn| conn.transaction(work)).unwrap();
    assert!(matches!(section.value, Err(NamedLockError::Database(_))), "{:?}", section.value);
    assert!(matches!(section.error, Some(NamedLockError::Lost { .. })), "{:?}", section.error);
    assert_free(&name);
}
