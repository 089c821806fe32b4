//! The claims find each mistake: in the rules, and in the driver that carries out the orders of the protocol.

use std::collections::BTreeSet;

use stateright::{Checker, HasDiscoveries, Model};

use crate::{
    properties::*,
    scenario::{Fault::*, Flaw, Scenario},
};

/// Panics unless the checker finds a run that breaks the claim.
pub fn refute(claim: &'static str, scenario: Scenario) {
    let when = HasDiscoveries::AnyOf(BTreeSet::from([claim]));
    let scenario = Scenario { keeps_numbers: true, ..scenario };
    let checker = scenario.clone().checker().finish_when(when).spawn_bfs().join();
    let found = checker.assert_any_discovery(claim);
    let (states, events) = (checker.unique_state_count(), found.into_actions());
    println!("{claim}: refuted in {states} states by {} events, {events:?} in {scenario:?}", events.len());
}

#[test]
fn two_of_four_nodes_are_not_enough() {
    let flaw = Some(Flaw::HalfIsEnough);
    refute(NO_OVERLAP, Scenario { flaw, faults: 1, ..Scenario::new(2, 4) });
}

#[test]
fn a_majority_of_the_nodes_that_can_be_reached_is_not_enough() {
    let flaw = Some(Flaw::MajorityOfReachable);
    refute(NO_OVERLAP, Scenario { flaw, faults: 2, ..Scenario::new(2, 2) });
    refute(NO_OVERLAP, Scenario { flaw, faults: 3, kinds: &[Silence], ..Scenario::new(2, 3) });
}

#[test]
fn a_release_of_another_sessions_lock_confirms_nothing() {
    let flaw = Some(Flaw::ReleaseOfAnyLock);
    refute(NO_OVERLAP, Scenario { flaw, faults: 2, kinds: &[Kill, Silence], ..Scenario::new(2, 3) });
}

#[test]
fn a_release_that_is_not_answered_confirms_nothing() {
    let flaw = Some(Flaw::OutIsReleased);
    refute(NO_OVERLAP, Scenario { flaw, faults: 2, kinds: &[Kill, Silence], ..Scenario::new(2, 3) });
}

#[test]
fn a_majority_at_the_grant_says_nothing_about_the_end() {
    let flaw = Some(Flaw::DecidedAtGrant);
    refute(NO_OVERLAP, Scenario { flaw, faults: 2, kinds: &[Kill, Silence], ..Scenario::new(2, 3) });
}

#[test]
fn clients_with_orders_of_their_own_wait_in_a_circle() {
    for claim in [NO_CIRCLE, EVERYBODY_ENDS] {
        refute(claim, Scenario::of(vec![vec![0, 1, 2, 3], vec![3, 2, 1, 0]]));
        refute(claim, Scenario::of(vec![vec![0, 1, 2], vec![1, 2, 0], vec![2, 0, 1]]));
    }
}

#[test]
fn a_client_that_comes_back_to_a_node_that_was_out_waits_in_a_circle() {
    let flaw = Some(Flaw::SkippedComesLast);
    for claim in [NO_CIRCLE, EVERYBODY_ENDS] {
        refute(claim, Scenario { flaw, faults: 2, kinds: &[Crash, Silence], ..Scenario::new(2, 3) });
        refute(claim, Scenario { flaw, faults: 1, required: Some(0), ..Scenario::new(2, 3) });
    }
}

#[test]
fn a_node_that_is_acquired_in_a_section_proves_nothing_by_itself() {
    for flaw in [Flaw::NewcomerCounts, Flaw::OldAnswersProve, Flaw::JoinsAtTheEnd].map(Some) {
        refute(NO_OVERLAP, Scenario { flaw, faults: 2, kinds: &[Kill], joins: 1, ..Scenario::new(2, 3) });
    }
}

/// The session of a node that was out acquires the lock after all, while another session with the node is a member.
#[test]
fn a_grant_is_no_answer_that_the_members_session_holds_the_lock() {
    let flaw = Some(Flaw::GrantIsAnAnswer);
    refute(NO_OVERLAP, Scenario { flaw, faults: 2, kinds: &[Kill, Silence], joins: 1, ..Scenario::new(2, 3) });
}

#[test]
fn a_member_that_could_not_be_asked_has_not_answered() {
    let flaw = Some(Flaw::UnaskedAnswers);
    refute(NO_OVERLAP, Scenario { flaw, faults: 2, kinds: &[Kill], joins: 1, ..Scenario::new(2, 3) });
}

#[test]
fn a_node_that_is_another_server_now_does_not_count() {
    let flaw = Some(Flaw::AnyServerIsTheNode);
    refute(NO_OVERLAP, Scenario { flaw, faults: 2, kinds: &[Silence, Swap], ..Scenario::new(2, 3) });
}
