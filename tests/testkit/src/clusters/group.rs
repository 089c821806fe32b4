//! MySQL's Group Replication groups.

use diesel::connection::SimpleConnection;
use test_server::Server;

use super::{connect_to, low_port, side_by_side, start};
use crate::world::{number, wait_until};

#[derive(Clone, Copy)]
pub enum Mode {
    SinglePrimary,
    MultiPrimary,
}

/// A group, which the first member has begun.
pub fn start_group<const N: usize>(mode: Mode) -> [Server; N] {
    let ports = [(); N].map(|()| low_port());
    let servers: [Server; N] = side_by_side(|number| start_member(mode, number, &ports));
    for (before, server) in servers.iter().enumerate() {
        let join = match before {
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
        wait_until("the member to be on line", || number(&mut conn, online) == Some(before as i64 + 1));
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

pub fn switch_over_to(member: &Server) {
    let mut conn = connect_to(member);
    let switch_over = "SELECT LENGTH(group_replication_set_as_primary(@@server_uuid)) AS number";
    assert!(number(&mut conn, switch_over) > Some(0));
    wait_until("the member to accept writes", || number(&mut conn, "SELECT @@super_read_only AS number") == Some(0));
}
