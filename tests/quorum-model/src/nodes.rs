//! While the configured nodes are changed, some clients have the old ones and others the new ones. That is safe if each majority of
//! the old ones has a node in common with each majority of the new ones.

use crate::{
    flaws::refute,
    proofs::prove,
    properties::NO_OVERLAP,
    scenario::{Fault::Silence, Scenario, Server},
};

/// Two clients, before the change and after it.
fn change(from: &[Server], to: &[Server]) -> Scenario {
    Scenario::of(vec![from.to_vec(), to.to_vec()])
}

#[test]
fn a_node_may_be_added_and_one_may_be_removed() {
    for scenario in [change(&[0, 1, 2], &[0, 1, 2, 3]), change(&[0, 1, 2, 3], &[1, 2, 3])] {
        prove(scenario.clone());
        prove(Scenario { faults: 2, kinds: &[Silence], ..scenario });
    }
}

#[test]
fn a_node_may_not_be_replaced_at_once() {
    refute(NO_OVERLAP, change(&[0, 1, 2], &[1, 2, 3]));
    refute(NO_OVERLAP, Scenario { faults: 1, ..change(&[0, 1, 2], &[0, 1, 3]) });
}

#[test]
fn two_nodes_may_not_be_added_at_once() {
    refute(NO_OVERLAP, Scenario { faults: 1, ..change(&[0, 1, 2], &[0, 1, 2, 3, 4]) });
}

/// The majority of an even number has one node to spare.
#[test]
fn one_of_four_nodes_may_be_replaced_at_once() {
    prove(change(&[0, 1, 2, 3], &[1, 2, 3, 4]));
    prove(Scenario { faults: 1, ..change(&[0, 1, 2, 3], &[0, 1, 2, 4]) });
}

#[test]
fn a_node_may_be_replaced_at_once_beside_one_that_all_clients_require() {
    prove(Scenario { required: Some(0), faults: 2, ..change(&[0, 1, 2], &[0, 1, 3]) });
}
