//! All claims hold in every run.

use stateright::{Checker, Model};

use crate::scenario::{
    Fault::{Crash, Kill, Silence, Swap},
    Scenario,
};

/// Panics if a run breaks a claim, or if a sight is not reached.
pub fn prove(scenario: Scenario) {
    let checker = scenario.clone().checker().spawn_bfs().join();
    println!("{} states, up to {} steps deep: {scenario:?}", checker.unique_state_count(), checker.max_depth());
    checker.assert_properties();
}

#[test]
fn without_a_fault_every_client_gets_its_section_with_all_nodes() {
    prove(Scenario::new(2, 3));
    prove(Scenario::new(2, 4));
    prove(Scenario::new(3, 4));
    prove(Scenario { hurry: true, roll_back: true, ..Scenario::new(3, 3) });
    prove(Scenario { deadlines: true, ..Scenario::new(3, 3) });
}

#[test]
fn two_clients_exclude_each_other_and_none_waits_for_ever_whatever_happens_to_three_nodes() {
    prove(Scenario { faults: 4, ..Scenario::new(2, 3) });
    prove(Scenario { faults: 2, deadlines: true, hurry: true, ..Scenario::new(2, 3) });
}

#[test]
fn an_attempt_begins_anew_whatever_the_one_before_has_left_behind() {
    prove(Scenario { attempts: 2, faults: 2, deadlines: true, hurry: true, roll_back: true, ..Scenario::new(2, 3) });
}

#[test]
fn of_four_nodes_three_are_needed() {
    prove(Scenario { faults: 2, kinds: &[Crash, Silence], hurry: true, ..Scenario::new(2, 4) });
}

#[test]
fn a_required_node_is_held_by_every_section() {
    for required in 0..3 {
        prove(Scenario { required: Some(required), faults: 2, hurry: true, roll_back: true, ..Scenario::new(2, 3) });
    }
    prove(Scenario { required: Some(1), faults: 1, ..Scenario::new(2, 4) });
}

#[test]
fn three_clients_exclude_each_other() {
    prove(Scenario { faults: 1, hurry: true, ..Scenario::new(3, 3) });
    prove(Scenario { faults: 2, kinds: &[Kill], ..Scenario::new(3, 3) });
}

#[test]
fn a_node_that_is_acquired_in_a_section_counts_once_a_majority_has_confirmed_since() {
    prove(Scenario { faults: 2, joins: 1, ..Scenario::new(2, 3) });
    prove(Scenario { faults: 2, kinds: &[Kill, Silence], joins: 2, ..Scenario::new(2, 3) });
}

#[test]
fn a_node_whose_name_leads_to_another_server_is_out() {
    prove(Scenario { faults: 2, kinds: &[Crash, Silence, Swap], ..Scenario::new(2, 3) });
}
