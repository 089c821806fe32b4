//! Nodes of Galera clusters.

use diesel::{MysqlConnection, connection::SimpleConnection};
use diesel_named_lock::{
    LockName, NamedLockError, NamedLockExt,
    operator::{Severity, Topic, break_lock, server_report},
};

use testkit::{
    clusters::{connect_to, galera::Cluster},
    world::*,
};

use crate::report::*;

#[test]
fn a_galera_node_without_its_majority_is_a_danger_and_grants_the_lock() {
    if is_mysql() {
        return;
    }
    let cluster = Cluster::start();
    let mut conn = connect_to(&cluster.nodes[0]);
    let report = server_report(&mut conn).unwrap();
    assert_eq!(found(&report, Topic::Galera).len(), 1, "{report}");
    cluster.isolate_the_first();
    let report = server_report(&mut conn).unwrap();
    assert_found(&report, Topic::Galera, Severity::Danger, "non-Primary");
    assert_eq!(get_lock(&mut conn, "granted", 0), Some(1));

    // As the finding advises.
    let mut operator = connect_to(&cluster.nodes[0]);
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
    let (mut operator, connect) = (connect_to(&cluster.nodes[0]), || connect_to(&cluster.nodes[0]));
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
