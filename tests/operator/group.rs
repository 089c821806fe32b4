//! Members of MySQL's Group Replication groups.

use std::thread;

use diesel::connection::SimpleConnection;
use diesel_named_lock::{
    NamedLockError, NamedLockExt,
    operator::{Severity, Topic, server_report},
};
use rustix::process::Signal;
use test_server::Server;

use testkit::world::*;

use crate::{
    clusters::{assert_both_grant, assert_follows},
    report::*,
    stage::*,
};

#[derive(Clone, Copy)]
pub enum Mode {
    SinglePrimary,
    MultiPrimary,
}

/// A group of as many members as there are `ports`, the first of which has begun it.
pub fn start_group(mode: Mode, members: usize) -> Vec<Server> {
    let ports: Vec<u16> = (0..members).map(|_| low_port()).collect();
    let starting = |number| start_member(mode, number, &ports);
    let servers: Vec<Server> = thread::scope(|scope| {
        let starting: Vec<_> = (0..members).map(|number| scope.spawn(move || starting(number))).collect();
        starting.into_iter().map(|server| server.join().unwrap()).collect()
    });
    for (number, server) in servers.iter().enumerate() {
        let join = match number {
            0 => {
                "SET GLOBAL group_replication_bootstrap_group = ON; START GROUP_REPLICATION; \
                 SET GLOBAL group_replication_bootstrap_group = OFF"
            }
            _ => {
                "CHANGE REPLICATION SOURCE TO SOURCE_USER = 'root' FOR CHANNEL 'group_replication_recovery'; \
                 START GROUP_REPLICATION"
            }
        };
        connect_to(server).batch_execute(join).unwrap();
        let online = "SELECT COUNT(*) AS number FROM performance_schema.replication_group_members \
                      WHERE MEMBER_STATE = 'ONLINE'";
        let mut conn = connect_to(server);
        wait_until("the member to be on line", || testkit::world::number(&mut conn, online) == Some(number as i64 + 1));
    }
    servers
}

fn start_member(mode: Mode, number: usize, ports: &[u16]) -> Server {
    let seeds: Vec<String> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    let single_primary = if matches!(mode, Mode::SinglePrimary) { "ON" } else { "OFF" };
    let server = start(&[
        &format!("--server-id={}", number + 1),
        "--log-bin=bin",
        "--gtid-mode=ON",
        "--enforce-gtid-consistency=ON",
        "--report-host=127.0.0.1",
        "--plugin-load-add=group_replication.so",
        "--group-replication-group-name=11111111-2222-3333-4444-555555555555",
        "--group-replication-start-on-boot=OFF",
        &format!("--group-replication-single-primary-mode={single_primary}"),
        "--group-replication-recovery-get-public-key=ON",
        &format!("--group-replication-local-address={}", seeds[number]),
        &format!("--group-replication-group-seeds={}", seeds.join(",")),
    ]);
    // Its own beginnings are not the group's.
    connect_to(&server).batch_execute("RESET BINARY LOGS AND GTIDS").unwrap();
    server
}

#[test]
fn two_members_of_a_group_both_grant_the_same_lock() {
    if !is_mysql() {
        return;
    }
    let servers = start_group(Mode::MultiPrimary, 2);
    let [mut on_first, mut on_second] = [connect_to(&servers[0]), connect_to(&servers[1])];
    assert_follows(&mut on_first, &mut on_second);
    for conn in [&mut on_first, &mut on_second] {
        assert_found(&server_report(conn).unwrap(), Topic::GroupReplication, Severity::Danger, "members: 2");
    }
    assert_both_grant(&mut on_first, &mut on_second);
}

#[test]
fn a_primary_is_a_danger_once_it_is_demoted_or_has_lost_its_majority_or_left_its_group() {
    if !is_mysql() {
        return;
    }
    let mut servers = start_group(Mode::SinglePrimary, 3);
    let report = |server: &Server| server_report(&mut connect_to(server)).unwrap();
    assert_found(&report(&servers[0]), Topic::GroupReplication, Severity::Info, "members: 3");
    assert_found(&report(&servers[1]), Topic::GroupReplication, Severity::Danger, "secondary");
    assert_both_grant(&mut connect_to(&servers[0]), &mut connect_to(&servers[1]));

    // Documented in `docs/deployments.md`.
    let name = fresh("demoted");
    let outcome = connect_to(&servers[0]).with_named_lock(&name, SOON, |_| {
        switch_over_to(&servers[1]);
        assert_eq!(get_lock(&mut connect_to(&servers[1]), &name, 0), Some(1), "the new primary grants it, too");
        Ok::<_, NamedLockError>(())
    });
    outcome.expect("nobody told the session");
    assert_found(&report(&servers[0]), Topic::GroupReplication, Severity::Danger, "secondary");

    let primary = &mut servers.remove(1);
    servers.iter().for_each(stop);
    let mut conn = connect_to(primary);
    wait_until("the majority to be lost", || {
        let report = server_report(&mut conn).unwrap();
        found(&report, Topic::GroupReplication)[0].to_string().contains("2 of 3 members are unreachable")
    });
    assert_found(&report(primary), Topic::GroupReplication, Severity::Danger, "lost its majority");
    assert_eq!(get_lock(&mut conn, "granted", 0), Some(1));

    signal(primary, Signal::KILL);
    assert!(primary.ends_within(SOON));
    primary.start_again().unwrap();
    assert_found(&report(primary), Topic::GroupReplication, Severity::Danger, "OFFLINE");
    let mut conn = connect_to(primary);
    assert_eq!(get_lock(&mut conn, "granted", 0), Some(1));
    conn.batch_execute("CREATE TABLE test.unknown_to_the_group (n INT PRIMARY KEY)").expect("it accepts writes");
}

fn switch_over_to(member: &Server) {
    let mut conn = connect_to(member);
    let switch_over = "SELECT LENGTH(group_replication_set_as_primary(@@server_uuid)) AS number";
    assert!(number(&mut conn, switch_over) > Some(0));
    wait_until("the member to accept writes", || number(&mut conn, "SELECT @@super_read_only AS number") == Some(0));
}
