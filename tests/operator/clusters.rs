//! Several servers that are one to their users, but not to a named lock.

use diesel::connection::SimpleConnection;
use diesel_named_lock::{
    NamedLockError, NamedLockExt,
    operator::{Severity, Topic, server_report},
};

use testkit::{
    clusters::{
        assert_both_grant, connect_to, galera,
        group::{Mode, start_group},
        replicas::{primary_and_replicas, promote},
    },
    world::*,
};

use crate::report::*;

#[test]
fn a_replica_is_a_danger_and_grants_the_lock_that_is_held_on_the_primary() {
    let servers: [_; 2] = primary_and_replicas();
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
    let [primary, replica] = primary_and_replicas();
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
        true => (start_group::<1>(Mode::MultiPrimary).into_iter().next().unwrap(), Topic::GroupReplication),
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
