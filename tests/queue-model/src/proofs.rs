//! Sections that have handed their lock on, and learn whether they held it to the end.

use std::collections::BTreeSet;

use crate::{
    group::{Group, Member},
    sync::Deadline::{self, Never, Passes, WakesForNothing},
    world::explore,
};

/// In a thread of its own: whether the lock was held to this section's end.
fn waits(member: Member<u64>, deadline: Deadline) -> loom::thread::JoinHandle<Option<bool>> {
    loom::thread::spawn(move || member.wait(deadline))
}

#[test]
fn an_answer_proves_all_hand_offs_before_it_and_wakes_every_section() {
    let outcomes = explore(|_| {
        let group = Group::new(7);
        let waiting = [(); 2].map(|()| waits(group.join(), Never));
        group.prove();
        waiting.map(|section| section.join().unwrap())
    });
    assert_eq!(outcomes, BTreeSet::from([[Some(true); 2]]));
}

#[test]
fn a_hand_off_after_the_last_answer_is_never_proven() {
    let outcomes = explore(|_| {
        let group = Group::new(7);
        let before = waits(group.join(), WakesForNothing);
        assert_eq!(group.unproven(), 1);
        group.prove();
        assert_eq!(group.unproven(), 0);
        let after = waits(group.join(), WakesForNothing);
        drop(group);
        (before.join().unwrap(), after.join().unwrap())
    });
    assert_eq!(outcomes, BTreeSet::from([(Some(true), Some(false))]));
}

#[test]
fn a_section_that_has_waited_long_enough_does_not_know_yet() {
    let outcomes = explore(|_| {
        let group = Group::new(7);
        let section = waits(group.join(), Passes);
        group.prove();
        section.join().unwrap()
    });
    assert_eq!(outcomes, BTreeSet::from([None, Some(true)]));
}

/// The one that asks on another connection, and the ones before it; not the ones behind, whatever the end of the group.
#[test]
fn a_section_that_finds_the_proof_itself_has_it_for_the_ones_before_it() {
    let outcomes = explore(|_| {
        let group = Group::new(7);
        let before = waits(group.join(), Never);
        let asks = group.join();
        let behind = waits(group.join(), Never);
        assert_eq!(*asks.holder(), 7);
        asks.prove();
        drop(group);
        let asked = asks.wait(Never);
        (before.join().unwrap(), asked, behind.join().unwrap())
    });
    assert_eq!(outcomes, BTreeSet::from([(Some(true), Some(true), Some(false))]));
}

#[test]
fn an_answer_after_the_end_of_the_group_proves_nothing() {
    let outcomes = explore(|_| {
        let group = Group::new(7);
        let (asks, behind) = (group.join(), waits(group.join(), Never));
        let ends = loom::thread::spawn(move || drop(group));
        asks.prove();
        ends.join().unwrap();
        (asks.wait(Never), behind.join().unwrap())
    });
    assert_eq!(outcomes, BTreeSet::from([(Some(true), Some(false)), (Some(false), Some(false))]));
}

#[test]
fn a_confirmed_release_proves_all_hand_offs_before_it_and_another_one_none() {
    for was_held in [true, false] {
        let outcomes = explore(move |_| {
            let group = Group::new(7);
            let section = waits(group.join(), Never);
            group.end(was_held);
            section.join().unwrap()
        });
        assert_eq!(outcomes, BTreeSet::from([Some(was_held)]));
    }
}
