//! Three nodes of a Galera cluster.

use std::time::{Duration, Instant};

use diesel_named_lock::quorum::{NodeState, QuorumError};
use testkit::{
    clusters::{galera::Cluster, kill_9, resume, stop},
    world::fresh,
};

use super::*;

static CLUSTER: Shared<Cluster> = Shared::new(Cluster::start);

/// Only MariaDB has Galera. One of its releases is enough: to part a node from its cluster takes other words in another release.
fn on_galera(test: impl FnOnce(&mut Cluster)) {
    if Product::wanted() == Product::MariaDb {
        CLUSTER.with(test);
    }
}

#[test]
fn a_quorum_excludes_between_the_nodes_of_galera_what_a_named_lock_alone_does_not() {
    on_galera(|cluster| assert_excludes_what_a_plain_lock_does_not(&cluster.nodes));
}

#[test]
fn sections_on_one_home_of_galera_never_overlap_and_what_they_write_arrives() {
    on_galera(|cluster| assert_never_overlap(&cluster.nodes, ["a", "a", "a"], "DO 0"));
}

/// A node may apply what another one has committed a moment later. "Monitoring a Galera Cluster", `wsrep_sync_wait`.
#[test]
fn sections_on_several_homes_of_galera_read_what_the_last_one_wrote_if_they_wait_for_it() {
    on_galera(|cluster| assert_never_overlap(&cluster.nodes, NAMES, "SET SESSION wsrep_sync_wait = 1"));
}

#[test]
fn a_lock_survives_the_kill_of_a_node_of_galera_and_only_the_statements_on_that_node_fail() {
    on_galera(|cluster| {
        let (quorum, on_third, name) = (quorum_of(&cluster.nodes), at_home(&cluster.nodes, "c"), fresh("killed"));
        let table = table_on(&cluster.nodes, &cluster.nodes[0]);
        // Not asked about so soon that the loss of its home is noticed before it is used.
        let rarely = lock(&fresh("home_killed")).idle_limit(Duration::from_secs(600));
        let mut guard = on_third.acquire(&rarely).unwrap();
        let section = quorum.run(&lock(&name), |conn| {
            kill_9(&cluster.nodes[2]);
            Outcome::Ok(write(conn, &table, 1)?)
        });
        section.expect("two of three");
        wait_for_rows(&cluster.nodes[1], &table, 1);
        guard.with_conn(|conn| write(conn, &table, 2)).unwrap().expect_err("its server is gone");
        guard.release().expect("two of three");
        let section = on_third.run(&lock(&name), |conn| Outcome::Ok(write(conn, &table, 2)?));
        section.expect("the next section has another home");

        cluster.nodes[2].start_again().unwrap();
        cluster.wait_for_all();
        wait_until_all_are_used(&on_third);
        on_third.run(&lock(&name), |conn| Outcome::Ok(write(conn, &table, 3)?)).expect("it is back");
        wait_for_rows(&cluster.nodes[0], &table, 3);
        assert_free(&cluster.nodes, &name);
    });
}

/// A node without its majority grants named locks, and nothing else: error 1047.
#[test]
fn a_node_that_is_parted_from_galera_is_a_member_and_as_a_home_its_statements_fail() {
    on_galera(|cluster| {
        let (quorum, elsewhere, name) = (quorum_of(&cluster.nodes), at_home(&cluster.nodes, "b"), fresh("partitioned"));
        let table = table_on(&cluster.nodes, &cluster.nodes[0]);
        let section = quorum.run(&lock(&name), |conn| {
            write(conn, &table, 1)?;
            wait_for_rows(&cluster.nodes[1], &table, 1);
            cluster.partition(0);
            Outcome::Ok(write(conn, &table, 2)?)
        });
        assert!(section.expect_err("its home is parted").to_string().contains("WSREP"), "error 1047");

        let guard = quorum.acquire(&lock(&name)).unwrap();
        assert_eq!(guard.nodes(), NAMES);
        assert_eq!(elsewhere.try_run(&lock(&name), |_| Outcome::Ok(())).unwrap(), None);
        guard.release().expect("it holds and releases");
        elsewhere.run(&lock(&name), |conn| Outcome::Ok(write(conn, &table, 2)?)).expect("a home with a majority");

        cluster.reconnect(0);
        wait_for_rows(&cluster.nodes[0], &table, 2);
        quorum.run(&lock(&name), |conn| Outcome::Ok(write(conn, &table, 3)?)).expect("the first node is back");
        assert_free(&cluster.nodes, &name);
    });
}

#[test]
fn two_stopped_nodes_of_galera_are_a_lost_lock_and_no_majority_in_time_and_used_again_later() {
    const TIMEOUT: Duration = Duration::from_secs(1);
    /// For a slow machine.
    const AT_MOST: Duration = Duration::from_secs(2);

    on_galera(|cluster| {
        let (quorum, name) = (quorum_of(&cluster.nodes), fresh("stopped"));
        let guard = quorum.acquire(&lock(&name)).unwrap();
        cluster.nodes[1..].iter().for_each(stop);
        let start = Instant::now();
        let lost = guard.release().expect_err("one of three");
        assert!(start.elapsed() < ANSWER_WITHIN * 2 + AT_MOST, "{:?}", start.elapsed());
        let QuorumError::Lost { nodes, .. } = &lost else { panic!("{lost}") };
        assert_eq!(
            nodes.iter().map(|node| &node.state).collect::<Vec<_>>(),
            [&NodeState::Confirmed, &NodeState::Silent, &NodeState::Silent]
        );

        let start = Instant::now();
        let refused = quorum.run(&lock(&name).timeout(TIMEOUT), |_| Outcome::Ok(())).expect_err("one of three");
        assert!(start.elapsed() < TIMEOUT + ANSWER_WITHIN + AT_MOST, "{:?}", start.elapsed());
        assert!(matches!(refused, QuorumError::NoMajority { .. }), "{refused}");

        cluster.nodes[1..].iter().for_each(resume);
        wait_until_all_are_used(&quorum);
        cluster.wait_for_all();
        assert_free(&cluster.nodes, &name);
    });
}
