//! Three servers, and quorums over them.

use std::{sync::LazyLock, time::Duration};

use diesel::{connection::SimpleConnection, r2d2::Pool};
use diesel_named_lock::{
    NamedLock,
    quorum::{NodeState, Quorum, QuorumBuilder, QuorumError},
};
use test_server::{Product, Server};

pub use testkit::clusters::{connect_to, kill_9, signal};
use testkit::{
    clusters::{side_by_side, start},
    world::{Manager, SOON, get_lock, number, release_lock, wait_until},
};

pub const NAMES: [&str; 3] = ["a", "b", "c"];

/// A slow machine may take this long for an answer, and a test does not want to wait longer for a silent node.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// For tests that wait for it themselves. On a busy machine, healthy nodes answer within it.
pub const SHORT: Duration = Duration::from_secs(2);

pub type TestQuorum = Quorum<Manager>;

/// Servers that only get healthy treatment, for all tests of this program.
pub fn servers() -> &'static [Server; 3] {
    static SERVERS: LazyLock<[Server; 3]> = LazyLock::new(start_three);
    &SERVERS
}

/// Servers of a test's own, to be hurt.
pub fn start_three() -> [Server; 3] {
    side_by_side(|_| start(&[]))
}

pub fn pool_to(url: &str) -> Pool<Manager> {
    Pool::builder().max_size(8).min_idle(Some(0)).connection_timeout(SOON).build_unchecked(Manager::new(url))
}

/// The nodes `a`, `b` and `c`, to be built.
pub fn nodes(urls: [&str; 3]) -> QuorumBuilder<Manager> {
    nodes_of(&urls.map(pool_to))
}

/// The same, over these pools.
pub fn nodes_of(pools: &[Pool<Manager>; 3]) -> QuorumBuilder<Manager> {
    NAMES.iter().zip(pools).fold(Quorum::builder(), |builder, (name, pool)| builder.node(*name, pool.clone()))
}

/// Like another process: with pools and a queue of its own.
pub fn quorum_of(servers: &[Server; 3]) -> TestQuorum {
    nodes(urls(servers)).answer_within(ANSWER_WITHIN).build().unwrap()
}

pub fn quorum() -> TestQuorum {
    quorum_of(servers())
}

pub fn urls(servers: &[Server; 3]) -> [&str; 3] {
    servers.each_ref().map(Server::url)
}

pub fn lock(name: &str) -> NamedLock {
    NamedLock::new(name).unwrap().timeout(SOON)
}

/// The session that holds the lock on each server.
pub fn holders(servers: &[Server; 3], name: &str) -> [Option<u64>; 3] {
    let holder = format!("SELECT CAST(IS_USED_LOCK('{name}') AS SIGNED) AS number");
    servers.each_ref().map(|server| number(&mut connect_to(server), &holder).map(|id| id as u64))
}

/// The lock can be had on each server: at once, or in a moment if the end of the section did not wait for a confirmation that it did not need.
#[track_caller]
pub fn assert_free(servers: &[Server; 3], name: &str) {
    wait_until(&format!("{name} to be free everywhere"), || holders(servers, name) == [None; 3]);
    for server in servers {
        let mut conn = connect_to(server);
        assert_eq!(get_lock(&mut conn, name, 0), Some(1), "{name} can't be had");
        release_lock(&mut conn, name);
    }
}

pub fn kill_session(server: &Server, session: u64) {
    connect_to(server).batch_execute(&format!("KILL {session}")).expect("KILL");
}

/// The table of sessions. (That of `testkit` asks a server of its own, which would have to start.)
pub fn process_list() -> &'static str {
    if Product::wanted().is_mariadb() { "information_schema.PROCESSLIST" } else { "performance_schema.processlist" }
}

/// Whether the session waits for a named lock.
pub fn waits_for_lock(server: &Server, session: u64) -> bool {
    let list = process_list();
    let waits = format!("SELECT COUNT(*) AS number FROM {list} WHERE STATE = 'User lock' AND ID = {session}");
    number(&mut connect_to(server), &waits) == Some(1)
}

/// Until a session waits for a named lock.
#[track_caller]
pub fn wait_until_waiting_on(server: &Server) {
    let waits = format!("SELECT COUNT(*) AS number FROM {} WHERE STATE = 'User lock'", process_list());
    let mut conn = connect_to(server);
    wait_until("a section to wait", || number(&mut conn, &waits).is_some_and(|waiting| waiting > 0));
}

pub fn state<'a>(error: &'a QuorumError, node: &str) -> &'a NodeState {
    let nodes = match error {
        QuorumError::Timeout { nodes, .. }
        | QuorumError::NoMajority { nodes, .. }
        | QuorumError::Lost { nodes, .. } => nodes,
        other => panic!("{other}"),
    };
    &nodes.iter().find(|report| report.node == node).expect("the node").state
}

#[track_caller]
pub fn assert_failed(error: &QuorumError, node: &str, why: &str) {
    let NodeState::Failed(reason) = state(error, node) else { panic!("{error}") };
    assert!(reason.contains(why), "{error}");
}
