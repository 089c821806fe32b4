//! All claims hold in every run.

use stateright::{Checker, Model};

use crate::scenario::{
    Request, Scenario,
    Wants::{Exclusive, Permits},
};

/// Panics if a run breaks a claim, or if a sight is not reached.
fn prove(scenario: Scenario) {
    let checker = scenario.clone().checker().spawn_bfs().join();
    println!("{} states, up to {} steps deep: {scenario:?}", checker.unique_state_count(), checker.max_depth());
    checker.assert_properties();
}

#[test]
fn permits_stay_within_their_bound_whatever_is_killed_struck_or_late() {
    prove(Scenario { faults: 2, deadlines: true, ..Scenario::new(2, &[Permits(1); 3]) });
}

#[test]
fn a_client_that_wants_several_permits_shares_the_slots_with_those_that_want_one() {
    prove(Scenario { faults: 2, deadlines: true, ..Scenario::new(2, &[Permits(1), Permits(1), Permits(2)]) });
}

#[test]
fn an_exclusive_section_overlaps_no_other_whatever_is_killed_struck_or_late() {
    prove(Scenario { faults: 2, deadlines: true, ..Scenario::new(2, &[Permits(1), Permits(1), Exclusive]) });
}

#[test]
fn two_exclusive_sections_never_overlap_whatever_is_killed_struck_or_late() {
    prove(Scenario { faults: 1, deadlines: true, ..Scenario::new(2, &[Permits(1), Exclusive, Exclusive]) });
}

#[test]
fn every_client_gets_its_turn_and_none_waits_for_ever() {
    prove(Scenario::new(2, &[Permits(1); 4]));
    prove(Scenario::new(2, &[Permits(1), Permits(1), Permits(2), Permits(2)]));
    prove(Scenario::new(2, &[Permits(1), Permits(1), Exclusive, Exclusive]));
    prove(Scenario::new(2, &[Permits(1), Permits(2), Permits(2), Exclusive]));
    prove(Scenario::new(3, &[Permits(2), Permits(3), Exclusive]));
}

#[test]
fn clients_that_never_stop_asking_starve_nobody() {
    prove(Scenario { endless: true, ..Scenario::new(2, &[Permits(1); 3]) });
    prove(Scenario { endless: true, ..Scenario::new(2, &[Permits(1), Permits(1), Permits(2)]) });
    prove(Scenario { endless: true, ..Scenario::new(2, &[Permits(1), Permits(1), Exclusive]) });
    prove(Scenario { endless: true, ..Scenario::new(2, &[Permits(1), Exclusive, Exclusive]) });
}

#[test]
fn a_section_inside_another_one_is_refused_and_the_outer_one_keeps_what_it_holds() {
    prove(Scenario { reentries: 2, ..Scenario::new(2, &[Permits(1), Permits(1), Exclusive]) });
    prove(Scenario { faults: 2, deadlines: true, reentries: 2, ..Scenario::new(1, &[Permits(1); 2]) });
    prove(Scenario { faults: 2, deadlines: true, reentries: 2, ..Scenario::new(2, &[Permits(1), Exclusive]) });
}

#[test]
fn programs_with_different_numbers_of_slots_keep_the_larger_bound() {
    let clients = [1, 2, 2].map(|slots| Request { wants: Permits(1), slots });
    prove(Scenario { faults: 1, deadlines: true, ..Scenario::of_programs(clients.to_vec()) });
}
