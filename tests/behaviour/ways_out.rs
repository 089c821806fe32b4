//! Whatever way a section ends, the lock is free and the connection fit for use, or gone.

use std::panic::{AssertUnwindSafe, catch_unwind};

use diesel::{
    connection::{AnsiTransactionManager, TransactionManager},
    prelude::*,
    result::Error,
    sql_query,
};
use diesel_named_lock::{NamedLock, NamedLockError, NamedLockExt};

use testkit::world::*;

type Outcome<T> = Result<T, NamedLockError>;

#[test]
fn the_work_runs_while_its_own_session_holds_the_lock() {
    let (pool, name) = (pool_of_one(), fresh("held"));
    let mut conn = pool.get().unwrap();
    let id = id(&mut conn);
    let holder_inside: Outcome<_> = conn.with_named_lock(&name, SOON, |_| Ok(holder(&name)));
    assert_eq!(holder_inside.unwrap(), Some(id));
}

#[test]
fn lock_is_free_after_ok() {
    let (pool, name) = (pool_of_one(), fresh("ok"));
    let mut conn = pool.get().unwrap();
    let value: Outcome<_> = conn.with_named_lock(&name, SOON, |_| Ok(7));
    assert_eq!(value.unwrap(), 7);
    assert_free(&name);
    drop(conn);
    assert_sound(&pool, &name);
}

#[test]
fn lock_is_free_after_an_error_of_the_work_and_the_error_is_the_works_own() {
    let (pool, name) = (pool_of_one(), fresh("err"));
    let mut conn = pool.get().unwrap();
    let outcome: Outcome<()> = conn.with_named_lock(&name, SOON, |conn| {
        sql_query("SELECT nonsense FROM nowhere").execute(conn)?;
        Ok(())
    });
    assert!(matches!(outcome, Err(NamedLockError::Database(Error::DatabaseError(..)))), "{outcome:?}");
    assert_free(&name);
    drop(conn);
    assert_sound(&pool, &name);
}

#[test]
fn lock_is_free_after_an_early_return_from_the_work() {
    let (pool, name) = (pool_of_one(), fresh("early"));
    let mut conn = pool.get().unwrap();
    let outcome: Outcome<u32> = conn.with_named_lock(&name, SOON, |conn| {
        if id(conn) > 0 {
            return Ok(1);
        }
        Ok(2)
    });
    assert_eq!(outcome.unwrap(), 1);
    assert_free(&name);
    drop(conn);
    assert_sound(&pool, &name);
}

#[test]
fn lock_is_free_after_a_panic_in_the_work() {
    let (pool, name) = (pool_of_one(), fresh("panic"));
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        let mut conn = pool.get().unwrap();
        let _: Outcome<()> = conn.with_named_lock(&name, SOON, |_| panic!("on purpose"));
    }));
    assert_eq!(unwound.unwrap_err().downcast_ref(), Some(&"on purpose"), "the panic is resumed unchanged");
    assert_free(&name);
    assert_sound(&pool, &name);
}

#[test]
fn lock_is_free_after_a_panic_that_is_caught_inside_the_checkout() {
    let (pool, name) = (pool_of_one(), fresh("caught"));
    let mut conn = pool.get().unwrap();
    let before = id(&mut conn);
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        let _: Outcome<()> = conn.with_named_lock(&name, SOON, |_| panic!("on purpose"));
    }));
    assert!(unwound.is_err());
    assert_free(&name);
    assert_eq!(id(&mut conn), before, "the connection is as good as it was");
    let again: Outcome<_> = conn.with_named_lock(&name, SOON, |_| Ok(()));
    again.unwrap();
    drop(conn);
    assert_sound(&pool, &name);
}

#[test]
fn a_panic_in_a_transaction_rolls_back_before_the_release() {
    let (pool, name, table) = (pool_of_one(), fresh("panic_tx"), fresh("t"));
    let mut conn = pool.get().unwrap();
    sql_query(format!("CREATE TABLE {table} (a INT) ENGINE = InnoDB")).execute(&mut conn).unwrap();
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        let _: Outcome<()> = conn.with_named_lock_transaction(&name, SOON, |conn| {
            sql_query(format!("INSERT INTO {table} VALUES (1)")).execute(conn)?;
            panic!("on purpose")
        });
    }));
    assert!(unwound.is_err());
    assert_free(&name);
    assert_eq!(number(&mut conn, &format!("SELECT COUNT(*) AS number FROM {table}")), Some(0));
    drop(conn);
    assert_sound(&pool, &name);
}

#[test]
fn a_section_of_another_name_may_be_nested() {
    let (pool, outer, inner) = (pool_of_one(), fresh("outer"), fresh("inner"));
    let mut conn = pool.get().unwrap();
    let outcome: Outcome<_> = conn.with_named_lock(&outer, SOON, |conn| {
        conn.with_named_lock(&inner, SOON, |conn| {
            assert_eq!(holder(&outer), Some(id(conn)));
            assert_eq!(holder(&inner), Some(id(conn)));
            Ok::<_, NamedLockError>(())
        })?;
        assert_free(&inner);
        assert_eq!(holder(&outer), Some(id(conn)), "the inner release leaves the outer lock alone");
        Ok(())
    });
    outcome.unwrap();
    assert_free(&outer);
    drop(conn);
    assert_sound(&pool, &outer);
}

#[test]
fn a_panic_in_a_nested_section_frees_both_locks() {
    let (pool, outer, inner) = (pool_of_one(), fresh("outer"), fresh("inner"));
    let mut conn = pool.get().unwrap();
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        let _: Outcome<()> = conn
            .with_named_lock(&outer, SOON, |conn| conn.with_named_lock(&inner, SOON, |_| -> Outcome<()> { panic!() }));
    }));
    assert!(unwound.is_err());
    assert_free(&outer);
    assert_free(&inner);
    drop(conn);
    assert_sound(&pool, &outer);
}

#[test]
fn re_entry_is_refused_and_the_outer_section_continues() {
    let (pool, name) = (pool_of_one(), fresh("reentry"));
    let mut conn = pool.get().unwrap();
    let outer: Outcome<_> = conn.with_named_lock(&name, SOON, |conn| {
        let own = id(conn);
        let inner: Outcome<()> = conn.with_named_lock(&name, SOON, |_| unreachable!("refused"));
        match inner {
            Err(NamedLockError::AlreadyHeld { connection_id, .. }) => assert_eq!(connection_id, Some(own.into())),
            other => panic!("{other:?}"),
        }
        assert_eq!(holder(&name), Some(own));
        Ok(())
    });
    outer.unwrap();
    assert_free(&name);
    drop(conn);
    assert_sound(&pool, &name);
}

#[test]
fn try_also_refuses_re_entry_instead_of_calling_it_busy() {
    let (mut conn, name) = (connect(), fresh("try_reentry"));
    let outer: Outcome<_> = conn.with_named_lock(&name, SOON, |conn| {
        let inner: Outcome<Option<()>> = conn.try_with_named_lock(&name, |_| unreachable!("refused"));
        assert!(matches!(inner, Err(NamedLockError::AlreadyHeld { .. })), "{inner:?}");
        Ok(())
    });
    outer.unwrap();
}

#[test]
fn re_entry_that_is_allowed_keeps_the_lock_until_the_outer_section_ends() {
    let (pool, name) = (pool_of_one(), fresh("reentrant"));
    let lock = NamedLock::new(&name).unwrap().reentrant();
    let mut conn = pool.get().unwrap();
    let outcome: Outcome<_> = lock.run(&mut conn, |conn| {
        let value = lock.run(conn, |conn| lock.run(conn, |_| Ok::<_, NamedLockError>(3)))?;
        assert_eq!(holder(&name), Some(id(conn)), "still held after the inner sections");
        Ok(value)
    });
    assert_eq!(outcome.unwrap(), 3);
    assert_free(&name);
    drop(conn);
    assert_sound(&pool, &name);
}

#[test]
fn a_panic_in_a_re_entrant_section_frees_the_lock() {
    let (pool, name) = (pool_of_one(), fresh("reentrant_panic"));
    let lock = NamedLock::new(&name).unwrap().reentrant();
    let mut conn = pool.get().unwrap();
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        let _: Outcome<()> = lock.run(&mut conn, |conn| lock.run(conn, |_| -> Outcome<()> { panic!() }));
    }));
    assert!(unwound.is_err());
    assert_free(&name);
    drop(conn);
    assert_sound(&pool, &name);
}

#[test]
fn an_inner_re_entrant_section_tells_that_the_work_released_the_lock() {
    let (mut conn, name) = (connect(), fresh("reentrant_lost"));
    let lock = NamedLock::new(&name).unwrap().reentrant();
    let outer: Outcome<_> = lock.run(&mut conn, |conn| {
        let inner: Outcome<_> = lock.run(conn, |conn| Ok(release_lock(conn, &name)));
        assert!(matches!(inner, Err(NamedLockError::Lost { .. })), "{inner:?}");
        Ok(())
    });
    assert!(matches!(outer, Err(NamedLockError::Lost { .. })), "{outer:?}");
}

#[test]
fn a_lock_taken_by_hand_on_the_same_session_is_refused_and_stays_as_it_was() {
    let (mut conn, name) = (connect(), fresh("by_hand"));
    assert_eq!(get_lock(&mut conn, &name, 0), Some(1));
    let outcome: Outcome<()> = conn.with_named_lock(&name, SOON, |_| unreachable!("refused"));
    assert!(matches!(outcome, Err(NamedLockError::AlreadyHeld { .. })), "{outcome:?}");
    assert_eq!(holder(&name), Some(id(&mut conn)));
    assert_eq!(release_lock(&mut conn, &name), Some(1));
    assert_free(&name);
}

#[test]
fn a_lock_that_the_closure_acquired_once_more_by_hand_is_freed() {
    let (pool, name) = (pool_of_one(), fresh("counted"));
    let mut conn = pool.get().unwrap();
    let outcome: Outcome<_> = conn.with_named_lock(&name, SOON, |conn| {
        Ok((get_lock(conn, &name, 0), get_lock(conn, &name, 0), get_lock(conn, &name, 0)))
    });
    assert_eq!(outcome.unwrap(), (Some(1), Some(1), Some(1)));
    assert_free(&name);
    drop(conn);
    assert_sound(&pool, &name);
}

#[test]
fn a_section_is_refused_inside_a_transaction_and_the_transaction_continues() {
    let (mut conn, name) = (connect(), fresh("open_tx"));
    let outcome: Outcome<_> = conn.transaction(|conn| {
        let inner: Outcome<()> = conn.with_named_lock(&name, SOON, |_| unreachable!("refused"));
        assert!(matches!(inner, Err(NamedLockError::OpenTransaction { depth: 1, .. })), "{inner:?}");
        conn.transaction(|conn| {
            let inner: Outcome<()> = conn.with_named_lock(&name, SOON, |_| unreachable!("refused"));
            assert!(matches!(inner, Err(NamedLockError::OpenTransaction { depth: 2, .. })), "{inner:?}");
            Ok::<_, NamedLockError>(())
        })?;
        Ok(id(conn))
    });
    outcome.unwrap();
    assert_free(&name);
}

#[test]
fn diesels_test_transaction_counts_as_none() {
    let (mut conn, name) = (connect(), fresh("test_tx"));
    conn.begin_test_transaction().unwrap();
    let outcome: Outcome<_> = conn.with_named_lock_transaction(&name, SOON, |conn| Ok(id(conn)));
    outcome.unwrap();
    assert_free(&name);
    let left_open: Outcome<_> = conn.with_named_lock(&name, SOON, |conn| Ok(begin(conn)?));
    assert!(matches!(left_open, Err(NamedLockError::TransactionLeftOpen { depth: Some(1), .. })), "{left_open:?}");
    let refused: Outcome<()> = conn.transaction(|conn| conn.with_named_lock(&name, SOON, |_| unreachable!("refused")));
    assert!(matches!(refused, Err(NamedLockError::OpenTransaction { depth: 1, .. })), "{refused:?}");
}

#[test]
fn a_transaction_put_in_place_of_the_test_transaction_is_rolled_back_before_the_release() {
    let (mut conn, name) = (connect(), fresh("test_tx_replaced"));
    conn.begin_test_transaction().unwrap();
    let outcome: Outcome<_> = conn.with_named_lock(&name, SOON, |conn| {
        AnsiTransactionManager::rollback_transaction(conn)?;
        Ok(begin(conn)?)
    });
    assert!(matches!(outcome, Err(NamedLockError::TransactionLeftOpen { depth: Some(1), .. })), "{outcome:?}");
    assert_free(&name);
}

#[test]
fn a_transaction_left_open_is_rolled_back_before_the_release() {
    let (pool, name, table) = (pool_of_one(), fresh("left_open"), fresh("t"));
    let mut conn = pool.get().unwrap();
    let before = id(&mut conn);
    sql_query(format!("CREATE TABLE {table} (a INT) ENGINE = InnoDB")).execute(&mut conn).unwrap();
    let outcome: Outcome<_> = conn.with_named_lock(&name, SOON, |conn| {
        begin(conn)?;
        sql_query(format!("INSERT INTO {table} VALUES (1)")).execute(conn)?;
        begin(conn)?;
        Ok(())
    });
    assert!(matches!(outcome, Err(NamedLockError::TransactionLeftOpen { depth: Some(2), .. })), "{outcome:?}");
    assert_free(&name);
    assert_eq!(number(&mut conn, &format!("SELECT COUNT(*) AS number FROM {table}")), Some(0));
    drop(conn);
    assert_sound(&pool, &name);
    assert_eq!(id(&mut pool.get().unwrap()), before, "the connection is as good as it was");
}

#[test]
fn a_transaction_left_open_by_failing_work_is_rolled_back_and_the_works_error_returned() {
    let (mut conn, name) = (connect(), fresh("left_open_err"));
    let outcome: Outcome<()> = conn.with_named_lock(&name, SOON, |conn| {
        begin(conn)?;
        Err(Error::NotFound.into())
    });
    assert!(matches!(outcome, Err(NamedLockError::Database(Error::NotFound))), "{outcome:?}");
    conn.transaction(|conn| sql_query("SELECT 1").execute(conn)).unwrap();
    assert_free(&name);
}
