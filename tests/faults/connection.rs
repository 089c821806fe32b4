//! Work that does what it should not with its connection.

use std::mem;

use diesel::{connection::SimpleConnection, prelude::*, sql_query};

use crate::{
    scenario::{Outcome::*, Scenario, Served::*, scenario},
    sql::{id, number, release_lock},
    stage::{Checkout, Stage},
};

pub fn scenarios() -> Vec<Scenario> {
    vec![
        // The session that held the lock is ended, and the lock seen to be free, before the section returns.
        scenario("connection_swapped", connection_swapped, &[ConnectionSwapped]).pool(&[Replaced]),
        scenario("connection_forgotten", connection_forgotten, &[ConnectionSwapped]).pool(&[Replaced]),
        scenario("connection_replaced", connection_replaced, &[ConnectionSwapped]).pool(&[Replaced]),
        // The session is as good as ever, and yet the section was not alone. What somebody else holds now stays theirs.
        scenario("lock_released_by_hand", lock_released_by_hand, &[Lost]).since("the thief's release").pool(&[Kept]),
        // Diesel does not see a raw BEGIN, nor do we: the lock is released, and the transaction stays open.
        scenario("raw_begin_left_open", raw_begin_left_open, &[Ok]).pool(&[Kept]),
        scenario("transaction_left_open", transaction_left_open, &[TransactionLeftOpen]).pool(&[Kept]),
    ]
}

fn with_another_connection(stage: &Stage, put: impl FnOnce(&mut Checkout), look: impl FnOnce(&mut Checkout)) {
    let pool = stage.pool();
    let (mut conn, own) = stage.checkout(&pool);
    stage.section(&stage.lock(), &mut conn, |conn| {
        put(conn);
        Result::Ok(())
    });
    stage.free_now();
    look(&mut conn);
    stage.until_gone(own);
    drop(conn);
    stage.serves(&pool);
}

fn connection_swapped(stage: &Stage) {
    let mut other = stage.connect();
    let others = id(&mut other);
    with_another_connection(
        stage,
        |conn| mem::swap(&mut **conn, &mut other),
        |conn| {
            stage.check(id(conn) == others, "the session that was swapped in was harmed");
        },
    );
}

fn connection_forgotten(stage: &Stage) {
    with_another_connection(stage, |conn| mem::forget(mem::replace(&mut **conn, stage.connect())), |_| ());
}

fn connection_replaced(stage: &Stage) {
    with_another_connection(stage, |conn| **conn = stage.connect(), |_| ());
}

fn lock_released_by_hand(stage: &Stage) {
    let pool = stage.pool();
    let (mut conn, _) = stage.checkout(&pool);
    let mut thief = None;
    stage.section(&stage.lock(), &mut conn, |conn| {
        assert!(release_lock(conn, &stage.name)?);
        thief = Some(stage.rival());
        Result::Ok(())
    });
    stage.free_after(thief.expect("the work has run"));
    drop(conn);
    stage.serves(&pool);
}

fn raw_begin_left_open(stage: &Stage) {
    let pool = stage.pool();
    let (mut conn, _) = stage.checkout(&pool);
    let table = stage.table();
    stage.section(&stage.lock(), &mut conn, |conn| {
        conn.batch_execute("BEGIN")?;
        sql_query(format!("UPDATE {table} SET a = 7")).execute(conn)?;
        Result::Ok(())
    });
    stage.check(stage.value_in(&table) == Some(0), "the raw transaction was committed");
    let query = format!("SELECT a AS number FROM {table}");
    stage.check(number(&mut conn, &query) == Some(7), "the raw transaction was rolled back");
    stage.free_and_serves(conn, &pool);
}

fn transaction_left_open(stage: &Stage) {
    use diesel::connection::{AnsiTransactionManager, TransactionManager};

    let pool = stage.pool();
    let (mut conn, _) = stage.checkout(&pool);
    let table = stage.table();
    stage.section(&stage.lock(), &mut conn, |conn| {
        AnsiTransactionManager::begin_transaction(&mut **conn)?;
        sql_query(format!("UPDATE {table} SET a = 7")).execute(conn)?;
        Result::Ok(())
    });
    let query = format!("SELECT a AS number FROM {table}");
    stage.check(number(&mut conn, &query) == Some(0), "the transaction was not rolled back");
    stage.free_and_serves(conn, &pool);
}
