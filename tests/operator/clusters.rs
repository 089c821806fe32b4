//! Several servers that are one to their users, but not to a named lock.

use diesel::{MysqlConnection, connection::SimpleConnection};
use diesel_named_lock::{
    NamedLockError, NamedLockExt,
    operator::{Severity, Topic, server_report},
};
use test_server::Server;

use testkit::world::*;

use crate::{
    galera,
    group::{Mode, start_group},
    report::*,
    stage::*,
};

fn port_of(server: &Server) -> String {
    let url = url::Url::parse(server.tcp_url()).unwrap();
    url.port().expect("a port").to_string()
}

/// The classic: one server that is written to, and one that follows.
fn primary_and_replica() -> [Server; 2] {
    let primary = start(&["--server-id=1", "--log-bin=bin"]);
    let replica = start(&["--server-id=2", "--relay-log=relay", "--read-only=ON"]);
    let (mut on_primary, mut on_replica) = (connect_to(&primary), connect_to(&replica));
    let port = port_of(&primary);
    on_replica
        .batch_execute(&match is_mysql() {
            true => format!(
                "CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = {port}, SOURCE_USER = 'root', \
                 GET_SOURCE_PUBLIC_KEY = 1; START REPLICA"
            ),
            false => format!(
                "CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {port}, MASTER_USER = 'root'; START SLAVE"
            ),
        })
        .unwrap();
    assert_follows(&mut on_primary, &mut on_replica);
    [primary, replica]
}

fn promote(replica: &Server) {
    let word = if is_mysql() { "REPLICA" } else { "SLAVE" };
    let promote = format!("STOP {word}; RESET {word} ALL; SET GLOBAL read_only = OFF");
    connect_to(replica).batch_execute(&promote).unwrap();
}

#[test]
fn a_replica_is_a_danger_and_grants_the_lock_that_is_held_on_the_primary() {
    let servers = primary_and_replica();
    let [mut on_primary, mut on_replica] = servers.each_ref().map(connect_to);
    let report = server_report(&mut on_replica).unwrap();
    assert_found(&report, Topic::Replica, Severity::Danger, "127.0.0.1");
    assert_found(&report, Topic::ReadOnly, Severity::Danger, "`read_only`");
    assert_eq!(server_report(&mut on_primary).unwrap().max_severity(), Severity::Info);
    assert_both_grant(&mut on_primary, &mut on_replica);
}

/// Documented in `docs/deployments.md`.
#[test]
fn a_promotion_frees_no_lock_and_a_section_on_a_demoted_primary_that_lives_on_ends_ok() {
    let [primary, replica] = primary_and_replica();
    let (mut on_replica, taken_before) = (connect_to(&replica), fresh("taken_before"));
    assert_eq!(get_lock(&mut on_replica, &taken_before, 0), Some(1));

    let name = fresh("demoted");
    let outcome = connect_to(&primary).with_named_lock(&name, SOON, |_| {
        connect_to(&primary).batch_execute("SET GLOBAL read_only = ON").unwrap();
        promote(&replica);
        assert_eq!(get_lock(&mut connect_to(&replica), &name, 0), Some(1), "the new primary grants it, too");
        Ok::<_, NamedLockError>(())
    });
    outcome.expect("nobody told the session");
    assert_eq!(release_lock(&mut on_replica, &taken_before), Some(1), "it was still held");
}

/// Galera on MariaDB, Group Replication on MySQL.
#[test]
fn a_node_of_a_multi_writer_cluster_is_a_danger() {
    let (node, topic) = match is_mysql() {
        true => (start_group(Mode::MultiPrimary, 1).remove(0), Topic::GroupReplication),
        false => (galera::first_node(), Topic::Galera),
    };
    let mut conn = connect_to(&node);
    let report = server_report(&mut conn).unwrap();
    assert_eq!(found(&report, topic).len(), 1, "{report}");
    assert_found(&report, topic, Severity::Danger, if is_mysql() { "members: 1" } else { "my_wsrep_cluster" });
    // A group has channels of its own.
    for mode in ["", "NO_BACKSLASH_ESCAPES"] {
        conn.batch_execute(&format!("SET SESSION sql_mode = '{mode}'")).unwrap();
        let report = server_report(&mut conn).unwrap();
        assert_eq!(found(&report, Topic::Replica).len(), 0, "{mode}: {report}");
    }
    conn.batch_execute("CREATE TABLE test.written (n INT PRIMARY KEY)").expect("a node that can be written to");
}

/// What is written on the one server arrives at the other.
#[track_caller]
pub fn assert_follows(one: &mut MysqlConnection, other: &mut MysqlConnection) {
    one.batch_execute("CREATE TABLE test.arrives (n INT PRIMARY KEY)").unwrap();
    let count = "SELECT COUNT(*) AS number FROM information_schema.TABLES WHERE TABLE_NAME = 'arrives'";
    wait_until("the second server to follow the first", || number(other, count) == Some(1));
}

#[track_caller]
pub fn assert_both_grant(one: &mut MysqlConnection, other: &mut MysqlConnection) {
    let name = fresh("both");
    assert_eq!([get_lock(one, &name, 0), get_lock(other, &name, 0)], [Some(1), Some(1)]);
}
