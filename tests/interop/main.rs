//! Clients that others wrote, in other languages, beside sections and a pool of this crate, on one lock: `TEST_SERVER=mariadb` (the
//! default) or `TEST_SERVER=mysql`, or that of `DATABASE_URL`.
//!
//! All of them increment a number in a file that nothing but the lock protects.

mod client;
mod counter;

use std::{process::Command, thread};

use diesel_named_lock::{NamedLockError, NamedLockExt, pool::NamedLockPool};
use testkit::{
    database::{Database, database},
    world::{SOON, assert_free, connect, fresh, hold_elsewhere, number, process_list, wait_until},
};

use crate::{
    client::{Client, php, python, ruby},
    counter::Counter,
};

/// Increments of each contender.
const ROUNDS: u32 = 20;
/// Processes of the client; threads with sections; threads with a pool.
const OF_EACH: u32 = 2;

#[test]
fn pymysqllock_sections_and_a_pool_never_overlap() {
    contend(|| python("with_pymysqllock.py"));
}

#[test]
fn sqlalchemy_dlock_sections_and_a_pool_never_overlap() {
    contend(|| python("with_sqlalchemy_dlock.py"));
}

#[test]
fn php_with_mysqli_sections_and_a_pool_never_overlap() {
    contend(|| php("with_mysqli.php"));
}

#[test]
fn ruby_with_mysql2_sections_and_a_pool_never_overlap() {
    contend(|| ruby("with_mysql2.rb"));
}

/// What the others would show if the lock were none. On a busy machine, one thread may be done before the next one begins.
#[test]
fn without_a_lock_increments_are_lost() {
    wait_until("an increment to be lost", || {
        let counter = Counter::new();
        thread::scope(|scope| {
            for _ in 0..OF_EACH {
                scope.spawn(|| (0..ROUNDS).for_each(|_| counter.increment()));
            }
        });
        counter.value() < OF_EACH * ROUNDS
    });
}

fn contend(client: impl Fn() -> Command) {
    let (database, name, counter) = (database(), fresh("interop"), Counter::new());
    let locks = NamedLockPool::new(database.pool_of_one());
    // Nobody begins before all are there.
    let gate = hold_elsewhere(&name);
    let arguments = [name.as_str(), counter.path(), &ROUNDS.to_string()];
    let clients: Vec<_> = (0..OF_EACH).map(|_| Client::start(client().args(arguments), &database)).collect();
    let increment = || {
        counter.increment();
        Ok::<_, NamedLockError>(())
    };
    thread::scope(|scope| {
        for _ in 0..OF_EACH {
            let mut conn = database.connect();
            let name = &name;
            scope.spawn(move || {
                (0..ROUNDS).try_for_each(|_| conn.with_named_lock(name, SOON, |_| increment())).expect("sections");
            });
            let locks = &locks;
            scope.spawn(move || {
                (0..ROUNDS).try_for_each(|_| locks.with_named_lock(name, SOON, |_| increment())).expect("a pool");
            });
        }
        // Of the pool, one thread waits on the server.
        wait_until("all contenders to wait", || waiting(&database) == i64::from(2 * OF_EACH + 1));
        drop(gate);
    });
    clients.into_iter().for_each(Client::finish);
    assert_eq!(counter.value(), 3 * OF_EACH * ROUNDS, "increments were lost: two were inside at once");
    assert_free(&name);
}

/// How many sessions of this database wait for a named lock.
fn waiting(database: &Database) -> i64 {
    let query = format!(
        "SELECT COUNT(*) AS number FROM {} WHERE DB = '{}' AND STATE = 'User lock'",
        process_list(),
        database.name
    );
    number(&mut connect(), &query).expect("a number")
}
