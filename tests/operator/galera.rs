//! Nodes of Galera clusters.

use std::{fs, os::unix::fs::symlink, path::Path, thread};

use diesel::{MysqlConnection, connection::SimpleConnection, prelude::*, sql_query, sql_types::Text};
use diesel_named_lock::{
    LockName, NamedLockError, NamedLockExt,
    operator::{Severity, Topic, break_lock, server_report},
};
use tempfile::TempDir;
use test_server::{Server, galera_library};

use testkit::world::*;

use crate::{report::*, stage::*};

/// The first node of a cluster, alone if `others` is empty.
pub fn first_node() -> Server {
    start_node(low_port(), &[], None)
}

/// A cluster of three nodes.
pub struct Cluster {
    pub first: Server,
    others: Vec<Server>,
    _basedir: TempDir,
}

impl Cluster {
    pub fn start() -> Self {
        let (port, basedir) = (low_port(), basedir());
        let first = start_node(port, &[], Some(basedir.path()));
        let join = || start_node(low_port(), &[port], Some(basedir.path()));
        let others = thread::scope(|scope| [scope.spawn(join), scope.spawn(join)].map(|other| other.join().unwrap()));
        for server in others.iter().chain([&first]) {
            let conn = &mut connect_to(server);
            let state =
                |conn: &mut _| ["wsrep_cluster_size", "wsrep_local_state_comment"].map(|name| status(conn, name));
            wait_until("three nodes in sync", || state(conn) == ["3", "Synced"]);
        }
        Self { first, others: others.into(), _basedir: basedir }
    }

    /// The first node hears nothing of the others any more, and has noticed it.
    pub fn isolate_the_first(&self) {
        for server in &self.others {
            stop(server);
        }
        let mut conn = connect_to(&self.first);
        wait_until("the majority to be lost", || status(&mut conn, "wsrep_cluster_status") == "non-Primary");
    }
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
        // A node that falls silent is missed in a second or two, instead of fifteen.
        "evs.keepalive_period=PT0.2S",
        "evs.inactive_check_period=PT0.2S",
        "evs.suspect_timeout=PT1S",
        "evs.inactive_timeout=PT2S",
        "evs.install_timeout=PT2S",
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
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/operator/wsrep_sst_copy");
    fs::create_dir(basedir.path().join("bin")).unwrap();
    symlink(script, basedir.path().join("bin/wsrep_sst_copy")).unwrap();
    symlink(Path::new(&true_one).join("share"), basedir.path().join("share")).unwrap();
    basedir
}

#[test]
fn a_galera_node_without_its_majority_is_a_danger_and_grants_the_lock() {
    if is_mysql() {
        return;
    }
    let cluster = Cluster::start();
    let mut conn = connect_to(&cluster.first);
    let report = server_report(&mut conn).unwrap();
    assert_eq!(found(&report, Topic::Galera).len(), 1, "{report}");
    cluster.isolate_the_first();
    let report = server_report(&mut conn).unwrap();
    assert_found(&report, Topic::Galera, Severity::Danger, "non-Primary");
    assert_eq!(get_lock(&mut conn, "granted", 0), Some(1));

    // As the finding advises.
    let mut operator = connect_to(&cluster.first);
    let kill = format!("KILL {}", id(&mut conn));
    operator.batch_execute(&kill).expect_err("error 1047");
    operator.batch_execute(&format!("SET SESSION wsrep_dirty_reads = ON; {kill}")).unwrap();
    wait_until("the lock to be free", || get_lock(&mut operator, "granted", 0) == Some(1));
}

/// There `KILL`, `COMMIT` and `ROLLBACK` are error 1047, until `SET SESSION wsrep_dirty_reads = ON`.
#[test]
fn a_galera_node_that_loses_its_majority_in_a_section_keeps_no_lock() {
    if is_mysql() {
        return;
    }
    let cluster = Cluster::start();
    let (mut operator, connect) = (connect_to(&cluster.first), || connect_to(&cluster.first));
    operator.batch_execute("CREATE TABLE test.written (name VARCHAR(64) PRIMARY KEY)").unwrap();
    let write = |conn: &mut MysqlConnection, name| {
        conn.batch_execute(&format!("INSERT INTO test.written VALUES ('{name}')")).expect("a row")
    };
    let (mut idle, idle_name) = (connect(), LockName::new("idle").unwrap());
    assert_eq!(get_lock(&mut idle, idle_name.as_str(), 0), Some(1));
    begin(&mut idle).unwrap();
    write(&mut idle, "idle");

    // Three connections that live on, as plain ones do, in a section each.
    let (mut plain, mut left_open, mut committing) = (connect(), connect(), connect());
    let outcome = plain.with_named_lock("plain", SOON, |_| {
        let outcome = left_open.with_named_lock("left_open", SOON, |conn| {
            begin(conn)?;
            write(conn, "left_open");
            let outcome = committing.with_named_lock_transaction("committing", SOON, |conn| {
                write(conn, "committing");
                cluster.isolate_the_first();
                Ok::<_, NamedLockError>(())
            });
            outcome.expect_err("nothing was committed");
            Ok::<_, NamedLockError>(())
        });
        outcome.expect_err("nothing was rolled back");
        Ok::<_, NamedLockError>(())
    });
    outcome.expect("alone to the end: a lock can be released there");
    for name in ["plain", "left_open", "committing"] {
        let holder = format!("SELECT IS_USED_LOCK('{name}') AS number");
        wait_until(&format!("{name} to be free"), || number(&mut operator, &holder).is_none());
    }

    let broken = break_lock(&mut operator, &idle_name).unwrap().expect("a holder");
    assert!(idle.batch_execute("DO 0").is_err(), "{broken} was killed");
}
