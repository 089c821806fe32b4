//! Connections that died in the pool are replaced, and nobody sees it.

use std::{thread, time::Instant};

use diesel::{
    MysqlConnection,
    connection::SimpleConnection,
    r2d2::{CustomizeConnection, Pool},
};
use diesel_named_lock::{NamedLock, NamedLockError, pool::NamedLockPool};

use testkit::world::*;

use crate::line::*;

const SIZE: u32 = 4;

/// All of its connections are idle, and are not looked at when they are checked out.
fn idle_connections() -> (Locks, Vec<u64>) {
    let builder = Pool::builder().max_size(SIZE).test_on_check_out(false).connection_timeout(SOON);
    let pool = builder.build(Manager::new(server().url())).unwrap();
    let mut conns: Vec<_> = (0..SIZE).map(|_| pool.get().unwrap()).collect();
    let ids = conns.iter_mut().map(id).collect();
    drop(conns);
    (NamedLockPool::new(pool), ids)
}

#[test]
fn connections_whose_sessions_were_killed_are_replaced() {
    let (locks, ids) = idle_connections();
    let name = lock_name("stale");
    ids.iter().for_each(|&id| kill(id));
    wait_until("the killed sessions to be gone", || ids.iter().all(|&id| !is_alive(id)));
    for _ in 0..SIZE {
        let session = locks.with_named_lock(&name, SOON, |conn| Outcome::Ok(id(conn))).unwrap();
        assert!(!ids.contains(&session));
    }
    assert_free(name.as_str());
}

#[test]
fn connections_that_were_idle_for_too_long_are_replaced() {
    let (locks, _) = idle_connections();
    let name = lock_name("idle");
    let mut conns: Vec<_> = (0..SIZE).map(|_| locks.pool().get().unwrap()).collect();
    let ids: Vec<_> = conns
        .iter_mut()
        .map(|conn| {
            conn.batch_execute("SET SESSION wait_timeout = 1").unwrap();
            id(conn)
        })
        .collect();
    drop(conns);
    wait_until("the server to end the idle sessions", || ids.iter().all(|&id| !is_alive(id)));
    assert_eq!(locks.try_with_named_lock(&name, |_| Outcome::Ok("in")).unwrap(), Some("in"));
}

/// The replacing takes no longer than the timeout, and says what is wrong.
#[test]
fn if_no_connection_can_be_opened_the_timeout_holds() {
    let server = test_server::Server::start(server().product()).unwrap();
    let builder = Pool::builder().max_size(SIZE).test_on_check_out(false).connection_timeout(SOON);
    let locks = NamedLockPool::new(builder.build(Manager::new(server.url())).unwrap());
    let name = lock_name("down");
    locks.with_named_lock(&name, SOON, |_| Outcome::Ok(())).unwrap();
    drop(server);
    // Long enough for the connections that died, on a busy machine, too.
    let (start, timeout) = (Instant::now(), SOON / 4);
    let outcome: Outcome<()> = locks.with_named_lock(&name, timeout, |_| unreachable!("no server"));
    match outcome {
        Err(NamedLockError::NoConnection { waited, in_queue, .. }) => assert!(waited > in_queue, "{waited:?}"),
        other => panic!("{other:?}"),
    }
    let waited = start.elapsed();
    assert!(waited >= timeout && waited < SOON, "{waited:?}, and the pool's own timeout is {SOON:?}");
}

/// Killed while it waits on the server, with others in line behind it: it asks again, and none is stranded.
#[test]
fn a_session_that_is_killed_while_it_waits_is_replaced() {
    // A database of its own tells its sessions from those of other tests.
    let (name, database) = (lock_name("waiter_killed"), fresh("waiter_killed"));
    connect().batch_execute(&format!("CREATE DATABASE {database}")).unwrap();
    let customizer = Box::new(UsesDatabase(database.clone()));
    let builder = Pool::builder().max_size(2).connection_customizer(customizer).connection_timeout(SOON);
    let locks = NamedLockPool::new(builder.build(Manager::new(server().url())).unwrap());
    let lock = NamedLock::new(&name).unwrap().timeout(SOON);
    let elsewhere = hold_elsewhere(name.as_str());
    let in_wait = || {
        let condition = format!("STATE = 'User lock' AND DB = '{database}'");
        let query = format!("SELECT CAST(MAX(ID) AS SIGNED) AS number FROM {} WHERE {condition}", process_list());
        number(&mut connect(), &query)
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..3).map(|_| scope.spawn(|| locks.section(&lock, |_| ()))).collect();
        wait_until_in_line(&locks, &name, 2);
        let in_line = Instant::now();
        wait_until("the session to wait", || in_wait().is_some());
        let waiting = in_wait().unwrap();
        kill(waiting as u64);
        wait_until("another session to wait in its place", || in_wait().is_some_and(|id| id != waiting));
        let in_vain = in_line.elapsed();
        drop(elsewhere);
        for thread in threads {
            let section = thread.join().unwrap().unwrap();
            assert!(section.error.is_none(), "{:?}", section.error);
            assert!(section.waited >= in_vain, "{:?} of {in_vain:?}", section.waited);
        }
    });
    assert_free(name.as_str());
    connect().batch_execute(&format!("DROP DATABASE {database}")).unwrap();
}

#[derive(Debug)]
struct UsesDatabase(String);

impl CustomizeConnection<MysqlConnection, diesel::r2d2::Error> for UsesDatabase {
    fn on_acquire(&self, conn: &mut MysqlConnection) -> Result<(), diesel::r2d2::Error> {
        conn.batch_execute(&format!("USE {}", self.0)).map_err(diesel::r2d2::Error::QueryError)
    }
}
