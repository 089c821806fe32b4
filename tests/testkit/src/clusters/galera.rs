//! MariaDB's Galera clusters.

use std::{fs, os::unix::fs::symlink, path::Path};

use diesel::{MysqlConnection, connection::SimpleConnection, prelude::*, sql_query, sql_types::Text};
use tempfile::TempDir;
use test_server::{Server, galera_library};

use super::{connect_to, low_port, start, stop};
use crate::world::{connect, wait_until};

/// The first node of a cluster, alone.
pub fn first_node() -> Server {
    start_node(low_port(), &[], None)
}

/// A cluster of three nodes, which the first one has begun.
pub struct Cluster {
    pub nodes: [Server; 3],
    _basedir: TempDir,
}

impl Cluster {
    pub fn start() -> Self {
        let (port, basedir) = (low_port(), basedir());
        let first = start_node(port, &[], Some(basedir.path()));
        // Two that join at once disturb each other, which takes longer.
        let [second, third] = [(); 2].map(|()| start_node(low_port(), &[port], Some(basedir.path())));
        let cluster = Self { nodes: [first, second, third], _basedir: basedir };
        cluster.wait_for_all();
        cluster
    }

    /// Until each node is one of three in sync.
    #[track_caller]
    pub fn wait_for_all(&self) {
        for conn in &mut self.nodes.each_ref().map(connect_to) {
            let state = |conn: &mut _| {
                ["wsrep_cluster_size", "wsrep_local_state_comment", "wsrep_ready"].map(|name| status(conn, name))
            };
            wait_until("three nodes in sync", || state(conn) == ["3", "Synced", "ON"]);
        }
    }

    /// Stops the others. The first node hears nothing of them any more, and has noticed it.
    pub fn isolate_the_first(&self) {
        let [first, others @ ..] = &self.nodes;
        others.iter().for_each(stop);
        wait_for_loss(first);
    }

    /// The node and the others hear nothing of each other any more, and both sides have noticed it. Clients reach all of them.
    pub fn partition(&self, node: usize) {
        connect_to(&self.nodes[node]).batch_execute("SET GLOBAL wsrep_provider_options = 'gmcast.isolate=1'").unwrap();
        wait_for_loss(&self.nodes[node]);
        for (_, other) in self.nodes.iter().enumerate().filter(|(other, _)| *other != node) {
            let mut conn = connect_to(other);
            wait_until("two nodes to be left", || status(&mut conn, "wsrep_cluster_size") == "2");
        }
    }

    /// The end of a [partition](Self::partition).
    pub fn reconnect(&self, node: usize) {
        connect_to(&self.nodes[node]).batch_execute("SET GLOBAL wsrep_provider_options = 'gmcast.isolate=0'").unwrap();
        self.wait_for_all();
    }
}

fn wait_for_loss(node: &Server) {
    let mut conn = connect_to(node);
    wait_until("the majority to be lost", || status(&mut conn, "wsrep_cluster_status") == "non-Primary");
}

#[derive(QueryableByName)]
struct Status {
    #[diesel(sql_type = Text)]
    #[diesel(column_name = Value)]
    value: String,
}

fn status(conn: &mut MysqlConnection, variable: &str) -> String {
    sql_query(format!("SHOW STATUS LIKE '{variable}'")).get_result::<Status>(conn).expect("a status variable").value
}

fn start_node(port: u16, peers: &[u16], basedir: Option<&Path>) -> Server {
    let library = galera_library().unwrap_or_else(|error| panic!("{error}"));
    let peers: Vec<String> = peers.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    let provider = [
        &format!("gmcast.listen_addr=tcp://127.0.0.1:{port}"),
        &format!("ist.recv_addr=127.0.0.1:{}", low_port()),
        "gcache.size=1M",
        // A node that is started again joins as at first.
        "pc.recovery=FALSE",
        // Otherwise fifteen seconds may pass until silent nodes are missed. With less than this, a busy machine loses nodes that are well.
        "evs.suspect_timeout=PT5S",
        "evs.inactive_timeout=PT7.5S",
        "evs.install_timeout=PT7.5S",
    ];
    let mut options = vec![
        "--wsrep-on=ON".to_owned(),
        format!("--wsrep-provider={}", library.display()),
        format!("--wsrep-cluster-address=gcomm://{}", peers.join(",")),
        "--wsrep-node-address=127.0.0.1".to_owned(),
        format!("--wsrep-provider-options={}", provider.join(";")),
        "--binlog-format=ROW".to_owned(),
        "--innodb-autoinc-lock-mode=2".to_owned(),
    ];
    if let Some(basedir) = basedir {
        options.extend([format!("--basedir={}", basedir.display()), "--wsrep-sst-method=copy".to_owned()]);
    }
    start(&options.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Where a server looks for the state transfer's script, besides its own messages.
fn basedir() -> TempDir {
    let basedir = tempfile::tempdir().expect("a folder");
    let true_one: String = diesel::select(diesel::dsl::sql::<Text>("@@basedir")).get_result(&mut connect()).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/clusters/wsrep_sst_copy");
    fs::create_dir(basedir.path().join("bin")).unwrap();
    symlink(script, basedir.path().join("bin/wsrep_sst_copy")).unwrap();
    symlink(Path::new(&true_one).join("share"), basedir.path().join("share")).unwrap();
    basedir
}
