//! The home: whose connection the closure gets, also after another server was promoted.

use std::{
    thread,
    time::{Duration, Instant},
};

use diesel::{
    connection::{LoadConnection, SimpleConnection, TransactionManager},
    mysql::Mysql,
    prelude::*,
};
use diesel_named_lock::quorum::QuorumError;
use test_server::Server;
use testkit::{
    clusters::kill_9,
    world::{begin, fresh, number, wait_until},
};

use crate::stage::*;

type Outcome<T = ()> = Result<T, QuorumError>;

/// Servers of which only the first can be written to, and their ports.
fn one_primary() -> ([Server; 3], [Option<i64>; 3]) {
    let servers = start_three();
    servers[1..].iter().for_each(|server| set_read_only(server, "ON"));
    let ports = servers.each_ref().map(|server| port(&mut connect_to(server)));
    (servers, ports)
}

/// From now on, only the third can be written to. For longer than what is known of a node is taken for true.
fn promote_the_third(servers: &[Server; 3]) {
    set_read_only(&servers[0], "ON");
    set_read_only(&servers[2], "OFF");
    wait_for_more_than_a_second();
}

fn wait_for_more_than_a_second() {
    let start = Instant::now();
    wait_until("a second to pass", || start.elapsed() > Duration::from_millis(1100));
}

fn set_read_only(server: &Server, value: &str) {
    connect_to(server).batch_execute(&format!("SET GLOBAL read_only = {value}")).unwrap();
}

fn port<C: LoadConnection<Backend = Mysql>>(conn: &mut C) -> Option<i64> {
    number(conn, "SELECT @@port AS number")
}

fn commit<C: Connection>(conn: &mut C) -> QueryResult<()> {
    C::TransactionManager::commit_transaction(conn)
}

#[test]
fn a_section_that_waited_while_another_server_was_promoted_runs_there() {
    let (servers, ports) = one_primary();
    let (one, other, name) = (quorum_of(&servers), quorum_of(&servers), fresh("waited"));
    let guard = one.acquire(&lock(&name)).unwrap();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| other.run(&lock(&name), |conn| Outcome::Ok(port(conn))));
        wait_until_waiting_on(&servers[0]);
        promote_the_third(&servers);
        guard.release().unwrap();
        assert_eq!(waiting.join().unwrap().unwrap(), ports[2]);
    });
    assert_free(&servers, &name);
}

#[test]
fn a_guard_gives_the_connection_of_the_promoted_server_unless_a_transaction_is_open_on_the_other() {
    let (servers, ports) = one_primary();
    let (quorum, name) = (quorum_of(&servers), fresh("promoted"));
    let mut guard = quorum.acquire(&lock(&name)).unwrap();
    let begun = guard.with_conn(|conn| begin(conn).map(|()| port(conn)));
    assert_eq!(begun.unwrap().unwrap(), ports[0]);
    promote_the_third(&servers);
    let committed = guard.with_conn(|conn| commit(conn).map(|()| port(conn)));
    assert_eq!(committed.unwrap().unwrap(), ports[0]);
    assert_eq!(guard.with_conn(port).unwrap(), ports[2]);

    set_read_only(&servers[2], "ON");
    wait_for_more_than_a_second();
    assert_eq!(guard.with_conn(port).unwrap(), ports[0], "none can be written to");

    kill_9(&servers[0]);
    wait_for_more_than_a_second();
    assert_eq!(guard.with_conn(port).unwrap(), ports[1], "the next one");
    guard.release().expect("two of three");
}
