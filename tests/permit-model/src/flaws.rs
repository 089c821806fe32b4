//! The claims find each mistake in the protocol.

use std::collections::BTreeSet;

use stateright::{Checker, HasDiscoveries, Model};

use crate::{
    properties::*,
    scenario::{
        Flaw, Request, Scenario,
        Wants::{Exclusive, Permits},
    },
};

/// Panics unless the checker finds a run that breaks the claim.
fn refute(claim: &'static str, scenario: Scenario) {
    let when = HasDiscoveries::AnyOf(BTreeSet::from([claim]));
    let checker = scenario.clone().checker().finish_when(when).spawn_bfs().join();
    let found = checker.assert_any_discovery(claim);
    let states = checker.unique_state_count();
    println!("{claim}: refuted in {states} states by {:?} in {scenario:?}", found.into_actions());
}

#[test]
fn slots_that_are_tried_before_the_turnstile_let_newcomers_overtake() {
    let flaw = Some(Flaw::SlotsBeforeTurnstile);
    refute(FIRST_COME_FIRST_SERVED, Scenario { flaw, ..Scenario::new(1, &[Permits(1); 3]) });
    refute(BOUNDED_OVERTAKING, Scenario { flaw, endless: true, ..Scenario::new(1, &[Permits(1); 2]) });
}

#[test]
fn a_head_that_releases_the_turnstile_before_its_last_slot_is_overtaken_and_waits_for_ever() {
    let flaw = Some(Flaw::TurnstileReleasedBeforeLastSlot);
    refute(FIRST_COME_FIRST_SERVED, Scenario { flaw, ..Scenario::new(2, &[Permits(1); 3]) });
    refute(EVERYBODY_GETS_A_TURN, Scenario { flaw, ..Scenario::new(2, &[Permits(2); 2]) });
}

#[test]
fn an_exclusive_client_without_the_turnstile_is_overtaken_and_waits_for_ever() {
    let flaw = Some(Flaw::ExclusiveWithoutTurnstile);
    let readers = Scenario { flaw, ..Scenario::new(2, &[Permits(1), Permits(1), Exclusive]) };
    refute(FIRST_COME_FIRST_SERVED, readers.clone());
    refute(BOUNDED_OVERTAKING, Scenario { endless: true, ..readers });
    refute(EVERYBODY_GETS_A_TURN, Scenario { flaw, ..Scenario::new(2, &[Permits(2), Exclusive]) });
}

#[test]
fn a_struck_statement_that_is_taken_for_one_without_effect_leaks_a_lock() {
    let flaw = Some(Flaw::StruckMeansNotHeld);
    refute(NOTHING_LEAKS, Scenario { flaw, faults: 1, ..Scenario::new(2, &[Permits(1); 2]) });
    refute(NOTHING_LEAKS, Scenario { flaw, faults: 1, ..Scenario::new(2, &[Permits(1), Exclusive]) });
}

#[test]
fn a_struck_re_entry_that_releases_what_is_held_takes_it_from_the_outer_section() {
    let flaw = Some(Flaw::StruckReentryReleases);
    refute(LIVE_SECTION_HOLDS, Scenario { flaw, faults: 1, reentries: 1, ..Scenario::new(1, &[Permits(1)]) });
}

#[test]
fn an_upgrade_that_waits_before_it_is_refused_waits_for_ever() {
    let flaw = Some(Flaw::UpgradeWaits);
    refute(EVERYBODY_GETS_A_TURN, Scenario { flaw, reentries: 1, ..Scenario::new(2, &[Permits(1), Exclusive]) });
    refute(EVERYBODY_GETS_A_TURN, Scenario { flaw, reentries: 1, ..Scenario::new(1, &[Permits(1); 2]) });
}

#[test]
fn a_dead_session_whose_section_ends_as_ok_was_not_within_the_bound() {
    let flaw = Some(Flaw::DeadEndsOk);
    refute(OK_WITHIN_BOUND, Scenario { flaw, faults: 1, ..Scenario::new(2, &[Permits(1); 3]) });
    refute(OK_WITHIN_BOUND, Scenario { flaw, faults: 1, ..Scenario::new(2, &[Permits(1), Exclusive]) });
}

#[test]
fn the_smaller_bound_of_two_programs_does_not_hold() {
    let clients = [1, 2].map(|slots| Request { wants: Permits(1), slots });
    refute(LIVE_WITHIN_BOUND, Scenario { bound: 1, ..Scenario::of_programs(clients.to_vec()) });
}
