//! The classic: one server that is written to, and others that follow.

use diesel::connection::SimpleConnection;
use test_server::{Product, Server};

use super::{assert_follows, connect_to, side_by_side, start};

/// The first is the primary. The replicas are read-only.
pub fn primary_and_replicas<const N: usize>() -> [Server; N] {
    let servers: [Server; N] = side_by_side(|number| match number {
        0 => start(&["--server-id=1", "--log-bin=bin"]),
        _ => start(&[&format!("--server-id={}", number + 1), "--relay-log=relay", "--read-only=ON"]),
    });
    let port = port_of(&servers[0]);
    for replica in &servers[1..] {
        let mut on_replica = connect_to(replica);
        on_replica
            .batch_execute(&match replica.product() {
                Product::MySql => format!(
                    "CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = {port}, SOURCE_USER = 'root', \
                     GET_SOURCE_PUBLIC_KEY = 1; START REPLICA"
                ),
                _ => format!(
                    "CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {port}, MASTER_USER = 'root'; START SLAVE"
                ),
            })
            .unwrap();
        assert_follows(&mut connect_to(&servers[0]), &mut on_replica);
    }
    servers
}

pub fn promote(replica: &Server) {
    let word = if replica.product().is_mariadb() { "SLAVE" } else { "REPLICA" };
    let promote = format!("STOP {word}; RESET {word} ALL; SET GLOBAL read_only = OFF");
    connect_to(replica).batch_execute(&promote).unwrap();
}

fn port_of(server: &Server) -> String {
    let url = url::Url::parse(server.tcp_url()).unwrap();
    url.port().expect("a port").to_string()
}
