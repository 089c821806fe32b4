//! Money moves to and fro between two accounts. Without a lock some of it is gone afterwards; with it, none.
//!
//! Four threads read both balances, compute in Rust, and write both back: code that is right as long as it is alone.
//! Without the lock they all read before any of them writes, made certain here by a barrier. With it, each is given ample
//! time to be disturbed, and nobody can.
//!
//! `examples/run critical_section` runs it on a private server, started for it; with `DATABASE_URL` set, on that one.

#![allow(missing_docs, reason = "for what Diesel's macros make")]

use std::{error::Error, sync::Barrier, thread, time::Duration};

use diesel::{
    connection::SimpleConnection,
    prelude::*,
    r2d2::{ConnectionManager, Pool},
};
use diesel_named_lock::{NamedLockError, NamedLockExt};
use test_server::Server;

const LOCK: &str = "critical-section";
const TO_AND_FRO: [(i32, i32); 4] = [(1, 2), (2, 1), (1, 2), (2, 1)];
const BALANCE: i32 = 100;
const AMOUNT: i32 = 30;

diesel::table! {
    diesel_named_lock_accounts {
        id -> Integer,
        balance -> Integer,
    }
}
use diesel_named_lock_accounts as accounts;

type MysqlPool = Pool<ConnectionManager<MysqlConnection>>;

fn main() -> Result<(), Box<dyn Error>> {
    let server = Server::shared();
    println!("{} threads move {AMOUNT} each between two accounts of {BALANCE}", TO_AND_FRO.len());
    println!("(named lock `{LOCK}` of a {} server, {})\n", server.product(), server.version());
    let pool = Pool::new(ConnectionManager::new(server.url()))?;

    let barrier = Barrier::new(TO_AND_FRO.len());
    let everybody = || {
        barrier.wait();
    };
    run("without the lock", &pool, &|conn: &mut MysqlConnection, from, to| transfer(conn, from, to, everybody))?;

    let for_long = || thread::sleep(Duration::from_millis(50));
    let balances = run("with the lock", &pool, &|conn: &mut MysqlConnection, from, to| {
        conn.with_named_lock(LOCK, Duration::from_secs(10), |conn| transfer(conn, from, to, for_long))
    })?;

    pool.get()?.batch_execute("DROP TABLE diesel_named_lock_accounts")?;
    match balances == [BALANCE; 2] {
        true => Ok(()),
        false => Err("the sections were not exclusive".into()),
    }
}

/// Must not run twice at the same time. `pause` makes the race visible.
fn transfer(conn: &mut MysqlConnection, from: i32, to: i32, pause: impl Fn()) -> Result<(), NamedLockError> {
    let balance = |id| accounts::table.find(id).select(accounts::balance);
    let source: i32 = balance(from).get_result(conn)?;
    let target: i32 = balance(to).get_result(conn)?;
    pause();
    for (id, new) in [(to, target + AMOUNT), (from, source - AMOUNT)] {
        diesel::update(accounts::table.find(id)).set(accounts::balance.eq(new)).execute(conn)?;
        pause();
    }
    Ok(())
}

/// All transfers at once, each in a thread with a connection of its own. Returns what is in the accounts afterwards.
fn run(
    how: &str,
    pool: &MysqlPool,
    transfer: &(impl Fn(&mut MysqlConnection, i32, i32) -> Result<(), NamedLockError> + Sync),
) -> Result<Vec<i32>, Box<dyn Error>> {
    let mut connections = TO_AND_FRO.iter().map(|_| pool.get()).collect::<Result<Vec<_>, _>>()?;
    connections[0].batch_execute(&format!(
        "DROP TABLE IF EXISTS diesel_named_lock_accounts;
         CREATE TABLE diesel_named_lock_accounts (id INT PRIMARY KEY, balance INT NOT NULL);
         INSERT INTO diesel_named_lock_accounts VALUES (1, {BALANCE}), (2, {BALANCE})"
    ))?;
    thread::scope(|scope| {
        let transfers = TO_AND_FRO.into_iter().zip(&mut connections);
        let threads: Vec<_> =
            transfers.map(|((from, to), conn)| scope.spawn(move || transfer(conn, from, to))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("no panic"))
    })?;
    let balances: Vec<i32> = accounts::table.order(accounts::id).select(accounts::balance).load(&mut connections[0])?;
    let lost = 2 * BALANCE - balances.iter().sum::<i32>();
    println!("{how:>16}: {:>3} + {:>3}, lost: {lost}", balances[0], balances[1]);
    Ok(balances)
}
