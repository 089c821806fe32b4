//! Several servers that are one to their users, but not to a named lock.

use diesel::{MysqlConnection, connection::SimpleConnection};
use diesel_named_lock::{Severity, Topic, server_report};
use test_server::{Server, free_port, galera_library};

use crate::{report::*, stage::*, world::*};

fn port_of(server: &Server) -> String {
    let url = url::Url::parse(server.tcp_url()).unwrap();
    url.port().expect("a port").to_string()
}

/// The classic: one server that is written to, and one that follows.
#[test]
fn a_replica_is_a_danger_and_grants_the_lock_that_is_held_on_the_primary() {
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

    let report = server_report(&mut on_replica).unwrap();
    assert_found(&report, Topic::Replica, Severity::Danger, "127.0.0.1");
    assert_found(&report, Topic::ReadOnly, Severity::Danger, "`read_only`");
    assert_eq!(server_report(&mut on_primary).unwrap().worst(), Severity::Info);
    assert_both_grant(&mut on_primary, &mut on_replica);
}

/// Galera on MariaDB, Group Replication on MySQL.
#[test]
fn a_node_of_a_multi_writer_cluster_is_a_danger() {
    let (node, topic) = match is_mysql() {
        true => (bootstrapped(group_member(1, &[free_port().unwrap()])), Topic::GroupReplication),
        false => (galera_node(), Topic::Galera),
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

fn galera_node() -> Server {
    let library = galera_library().unwrap_or_else(|error| panic!("{error}"));
    let port = free_port().unwrap();
    start(&[
        "--wsrep-on=ON",
        &format!("--wsrep-provider={}", library.display()),
        "--wsrep-cluster-address=gcomm://",
        "--wsrep-node-address=127.0.0.1",
        &format!("--wsrep-provider-options=gmcast.listen_addr=tcp://127.0.0.1:{port};ist.recv_bind=127.0.0.1"),
        "--binlog-format=ROW",
        "--innodb-autoinc-lock-mode=2",
    ])
}

/// The first of `ports` is that of the new member, at which the others find it.
fn group_member(number: usize, ports: &[u16]) -> Server {
    let seeds: Vec<String> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    let server = start(&[
        &format!("--server-id={number}"),
        "--log-bin=bin",
        "--gtid-mode=ON",
        "--enforce-gtid-consistency=ON",
        "--report-host=127.0.0.1",
        "--plugin-load-add=group_replication.so",
        "--group-replication-group-name=11111111-2222-3333-4444-555555555555",
        "--group-replication-start-on-boot=OFF",
        "--group-replication-single-primary-mode=OFF",
        "--group-replication-recovery-get-public-key=ON",
        &format!("--group-replication-local-address={}", seeds[0]),
        &format!("--group-replication-group-seeds={}", seeds.join(",")),
    ]);
    // Its own beginnings are not the group's.
    connect_to(&server).batch_execute("RESET BINARY LOGS AND GTIDS").unwrap();
    server
}

fn bootstrapped(member: Server) -> Server {
    let bootstrap = "SET GLOBAL group_replication_bootstrap_group = ON; START GROUP_REPLICATION; \
                     SET GLOBAL group_replication_bootstrap_group = OFF";
    connect_to(&member).batch_execute(bootstrap).unwrap();
    member
}

#[test]
fn two_members_of_a_group_both_grant_the_same_lock() {
    if !is_mysql() {
        return;
    }
    let ports = [free_port().unwrap(), free_port().unwrap()];
    let first = bootstrapped(group_member(1, &ports));
    let second = group_member(2, &[ports[1], ports[0]]);
    let (mut on_first, mut on_second) = (connect_to(&first), connect_to(&second));
    on_second
        .batch_execute(
            "CHANGE REPLICATION SOURCE TO SOURCE_USER = 'root' FOR CHANNEL 'group_replication_recovery'; \
             START GROUP_REPLICATION",
        )
        .unwrap();
    assert_follows(&mut on_first, &mut on_second);
    for conn in [&mut on_first, &mut on_second] {
        assert_found(&server_report(conn).unwrap(), Topic::GroupReplication, Severity::Danger, "members: 2");
    }
    assert_both_grant(&mut on_first, &mut on_second);
}

/// What is written on the one server arrives at the other.
#[track_caller]
fn assert_follows(one: &mut MysqlConnection, other: &mut MysqlConnection) {
    one.batch_execute("CREATE TABLE test.arrives (n INT PRIMARY KEY)").unwrap();
    let count = "SELECT COUNT(*) AS number FROM information_schema.TABLES WHERE TABLE_NAME = 'arrives'";
    wait_until("the second server to follow the first", || number(other, count) == Some(1));
}

#[track_caller]
fn assert_both_grant(one: &mut MysqlConnection, other: &mut MysqlConnection) {
    let name = fresh("both");
    assert_eq!([get_lock(one, &name, 0), get_lock(other, &name, 0)], [Some(1), Some(1)]);
}
