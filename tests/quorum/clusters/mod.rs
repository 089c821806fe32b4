//! Quorums over real clusters: Galera on MariaDB, Group Replication on MySQL, a primary with replicas on both.

mod galera;
mod group;
mod replicas;

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};

use diesel::{connection::SimpleConnection, prelude::*, r2d2::PooledConnection};
use diesel_named_lock::quorum::QuorumError;
use test_server::{Product, Server};
use testkit::{
    clusters::assert_both_grant,
    world::{Manager, fresh, number, wait_until},
};

use crate::stage::*;

type Conn = PooledConnection<Manager>;
type Outcome<T = ()> = Result<T, QuorumError>;

/// A cluster that its tests use one after the other. Each leaves it as it was; if a test fails, the next one gets another cluster.
struct Shared<T> {
    cluster: Mutex<Option<T>>,
    start: fn() -> T,
}

impl<T> Shared<T> {
    const fn new(start: fn() -> T) -> Self {
        Self { cluster: Mutex::new(None), start }
    }

    fn with(&self, test: impl FnOnce(&mut T)) {
        let mut shared = self.cluster.lock().unwrap_or_else(PoisonError::into_inner);
        let mut cluster = shared.take().unwrap_or_else(self.start);
        test(&mut cluster);
        *shared = Some(cluster);
    }
}

/// Like another process, whose closures run on this node.
fn at_home(servers: &[Server; 3], node: &str) -> TestQuorum {
    nodes(urls(servers)).answer_within(ANSWER_WITHIN).home(node).build().unwrap()
}

/// A table that is there on all servers.
fn table_on(servers: &[Server; 3], on: &Server) -> String {
    let table = fresh("written");
    connect_to(on).batch_execute(&format!("CREATE TABLE test.{table} (n INT PRIMARY KEY)")).unwrap();
    for server in servers {
        let there = format!("SELECT COUNT(*) AS number FROM information_schema.TABLES WHERE TABLE_NAME = '{table}'");
        let mut conn = connect_to(server);
        wait_until("the table to arrive", || number(&mut conn, &there) == Some(1));
    }
    table
}

fn write(conn: &mut Conn, table: &str, n: u32) -> QueryResult<()> {
    conn.batch_execute(&format!("INSERT INTO test.{table} VALUES ({n})"))
}

#[track_caller]
fn wait_for_rows(server: &Server, table: &str, rows: i64) {
    let (count, mut conn) = (format!("SELECT COUNT(*) AS number FROM test.{table}"), connect_to(server));
    wait_until(&format!("{rows} rows to arrive"), || number(&mut conn, &count) == Some(rows));
}

#[track_caller]
fn wait_until_all_are_used(quorum: &TestQuorum) {
    let name = fresh("used");
    wait_until("all nodes to be used", || {
        let guard = quorum.acquire(&lock(&name)).unwrap();
        let all = guard.nodes() == NAMES;
        guard.release().unwrap();
        all
    });
}

/// One session on each of two nodes gets the same lock at once. Of two quorums, one does.
#[track_caller]
fn assert_excludes_what_a_plain_lock_does_not(servers: &[Server; 3]) {
    assert_both_grant(&mut connect_to(&servers[0]), &mut connect_to(&servers[1]));
    let (one, other, name) = (at_home(servers, "a"), at_home(servers, "b"), fresh("excluded"));
    let section = one.run(&lock(&name), |_| other.try_run(&lock(&name), |_| Outcome::Ok(())));
    assert_eq!(section.unwrap(), None);
    assert_eq!(other.try_run(&lock(&name), |_| Outcome::Ok(())).unwrap(), Some(()));
}

/// Sections of several processes, one for each of `homes`, each read a number and write the next one. `before` it, each says this to its
/// session.
#[track_caller]
fn assert_never_overlap(servers: &[Server; 3], homes: [&str; 3], before: &str) {
    const THREADS: u32 = 2;
    const ROUNDS: u32 = 5;

    let (name, table, inside) = (fresh("contended"), table_on(servers, &servers[0]), AtomicU32::new(0));
    connect_to(&servers[0]).batch_execute(&format!("INSERT INTO test.{table} VALUES (0)")).unwrap();
    let add_one = |conn: &mut Conn| {
        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two at once");
        conn.batch_execute(before)?;
        let read = number(conn, &format!("SELECT n AS number FROM test.{table}")).unwrap();
        conn.batch_execute(&format!("UPDATE test.{table} SET n = {}", read + 1))?;
        inside.fetch_sub(1, Ordering::SeqCst);
        Outcome::Ok(())
    };
    thread::scope(|scope| {
        for quorum in homes.map(|home| at_home(servers, home)) {
            for _ in 0..THREADS {
                let (quorum, name, add_one) = (quorum.clone(), &name, &add_one);
                scope.spawn(move || (0..ROUNDS).for_each(|_| quorum.run(&lock(name), add_one).expect("a section")));
            }
        }
    });
    let sum = i64::from(homes.len() as u32 * THREADS * ROUNDS);
    for server in servers {
        let (read, mut conn) = (format!("SELECT n AS number FROM test.{table}"), connect_to(server));
        wait_until("all that was written to arrive", || number(&mut conn, &read) == Some(sum));
    }
    assert_free(servers, &name);
}
