//! Nodes that are lost while a guard holds its lock, and that come back.

use std::time::Duration;

use diesel_named_lock::quorum::{NodeState, QuorumError};
use testkit::{
    clusters::{resume, stop},
    world::{SOON, fresh, id, wait_until},
};

use crate::stage::*;

/// On a busy machine, healthy nodes are not silent for two thirds of it.
const LIMIT: Duration = Duration::from_secs(6);

#[test]
fn a_session_that_is_killed_is_noticed_and_one_of_three_costs_nothing() {
    let (quorum, name) = (quorum(), fresh("sessions"));
    let often = lock(&name).idle_limit(LIMIT);
    let guard = quorum.acquire(&often).unwrap();
    let held = holders(servers(), &name);
    kill_session(&servers()[1], held[1].unwrap());
    wait_until("the loss to be noticed", || guard.nodes() == ["a", "c"]);
    assert!(!guard.is_lost() && !guard.watch().lost(Duration::ZERO));
    guard.release().expect("two of three");

    let mut guard = quorum.acquire(&often).unwrap();
    let held = holders(servers(), &name);
    kill_session(&servers()[0], held[0].unwrap());
    kill_session(&servers()[2], held[2].unwrap());
    assert!(guard.watch().lost(SOON), "in vain");
    assert!(guard.is_lost());
    let refused = guard.with_conn(|_| unreachable!("it is lost")).map(|()| "run").expect_err("one of three");
    assert!(!refused.is_transient(), "{refused}");
    assert_eq!(*state(&refused, "b"), NodeState::Held, "{refused}");
    let lost = guard.release().expect_err("one of three");
    assert_eq!(*state(&lost, "b"), NodeState::Confirmed, "{lost}");
    for error in [refused, lost] {
        assert!(matches!(error, QuorumError::Lost { .. }), "{error}");
        for node in ["a", "c"] {
            assert_failed(&error, node, "lost before the end: ");
        }
    }
    assert_free(servers(), &name);
}

#[test]
fn the_homes_session_is_watched_while_the_closure_uses_it() {
    let (quorum, name) = (quorum(), fresh("home_killed"));
    let mut guard = quorum.acquire(&lock(&name).idle_limit(LIMIT)).unwrap();
    let held = holders(servers(), &name);
    let watch = guard.watch();
    let seen = guard.with_conn(|conn| {
        assert_eq!(Some(id(conn)), held[0]);
        kill_session(&servers()[0], held[0].unwrap());
        kill_session(&servers()[1], held[1].unwrap());
        watch.lost(SOON)
    });
    assert!(seen.unwrap(), "the loss was not noticed");
    assert_failed(&guard.release().expect_err("one of three"), "a", "lost before the end: connection ");
    assert_free(servers(), &name);
}

/// As in a rolling restart of all nodes, one after the other.
#[test]
fn a_guard_survives_the_restart_of_each_node_one_at_a_time() {
    let mut servers = start_three();
    let (quorum, name) = (quorum_of(&servers), fresh("rolling"));
    let mut guard = quorum.acquire(&lock(&name).idle_limit(LIMIT)).unwrap();
    for node in [1, 0, 2] {
        kill_9(&servers[node]);
        wait_until("the loss to be noticed", || guard.nodes().len() == 2);
        servers[node].start_again().unwrap();
        wait_until("the node to count again", || guard.nodes() == NAMES);
    }
    assert!(!guard.is_lost());
    guard.with_conn(|conn| assert!(holders(&servers, &name).contains(&Some(id(conn))))).unwrap();
    guard.release().expect("all three");
    assert_free(&servers, &name);
}

#[test]
fn a_node_that_was_down_at_first_is_acquired_later() {
    let mut servers = start_three();
    let (quorum, name) = (quorum_of(&servers), fresh("late"));
    kill_9(&servers[0]);
    let guard = quorum.acquire(&lock(&name).idle_limit(LIMIT)).unwrap();
    assert_eq!(guard.nodes(), ["b", "c"]);
    servers[0].start_again().unwrap();
    wait_until("the node to count", || guard.nodes() == NAMES);
    kill_9(&servers[1]);
    guard.release().expect("a and c");
}

/// A lock that was lost is not made whole by nodes that are acquired again: another one may have had it.
#[test]
fn a_lock_that_was_lost_stays_lost_although_its_nodes_are_acquired_again() {
    let (quorum, name) = (quorum(), fresh("regained"));
    let guard = quorum.acquire(&lock(&name).idle_limit(LIMIT)).unwrap();
    let before = holders(servers(), &name);
    for node in [1, 2] {
        kill_session(&servers()[node], before[node].unwrap());
    }
    assert!(guard.watch().lost(SOON), "in vain");
    wait_until("both to be acquired again", || holders(servers(), &name).iter().all(Option::is_some));
    assert!(guard.is_lost());
    guard.release().expect_err("it was lost");
    wait_until("the lock to be free everywhere", || holders(servers(), &name) == [None; 3]);
}

#[test]
fn a_member_that_was_silent_for_a_while_and_has_held_the_lock_counts_again() {
    let servers = start_three();
    let (quorum, name) = (quorum_of(&servers), fresh("awhile"));
    let guard = quorum.acquire(&lock(&name).idle_limit(LIMIT)).unwrap();
    let held = holders(&servers, &name);
    stop(&servers[2]);
    wait_until("the silence to be noticed", || guard.nodes() == ["a", "b"]);
    resume(&servers[2]);
    assert_eq!(holders(&servers, &name), held, "it keeps the lock");
    wait_until("the node to count again", || guard.nodes() == NAMES);
    assert_eq!(holders(&servers, &name), held, "by the same session");
    kill_session(&servers[0], held[0].unwrap());
    guard.release().expect("two of three");
    assert_free(&servers, &name);
}
