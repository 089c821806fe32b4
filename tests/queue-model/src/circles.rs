//! Threads that wait for each other.

use std::collections::BTreeSet;

use crate::{
    sync::Deadline::{Never, Passes},
    world::{
        Came::{self, Circle, Turn, TurnWithBaton},
        World, explore, join,
    },
};

/// How the thread came to the second key's turn while it had the first one's.
fn one_in_the_other(world: &World, outer: usize, inner: usize) -> Came {
    match world.section_around(outer, Never, true, || world.section(inner, Never)) {
        (Turn | TurnWithBaton, Some(inner)) => inner,
        (refused, _) => panic!("{refused:?}: who has no turn is in no circle"),
    }
}

/// Each thread enters the second key within the first. All outcomes: which of them were refused, because of a circle.
fn refused<const N: usize>(threads: [(usize, usize); N]) -> BTreeSet<[bool; N]> {
    explore(move |world| {
        let threads = threads.map(|(outer, inner)| world.spawn(move |world| one_in_the_other(world, outer, inner)));
        join(threads).map(|came| came == Circle)
    })
}

#[test]
fn of_two_threads_that_wait_for_each_other_one_is_refused() {
    let one_or_none = [[false, false], [true, false], [false, true]];
    assert_eq!(refused([(0, 1), (1, 0)]), BTreeSet::from(one_or_none));
}

#[test]
fn of_three_threads_in_a_circle_one_is_refused() {
    let one_or_none = [[false, false, false], [true, false, false], [false, true, false], [false, false, true]];
    assert_eq!(refused([(0, 1), (1, 2), (2, 0)]), BTreeSet::from(one_or_none));
}

#[test]
fn a_chain_that_ends_is_no_circle() {
    assert_eq!(refused([(0, 1), (1, 2), (2, 3)]), BTreeSet::from([[false, false, false]]));
}

#[test]
fn a_thread_knows_whether_it_has_another_turn() {
    let outcomes = explore(|world| {
        let elsewhere = world.spawn(|world| world.section(2, Never));
        let (outer, _) = world.queue.enter(&0, Never, false).unwrap();
        let alone = outer.is_only_one();
        let (inner, _) = world.queue.enter(&1, Never, false).unwrap();
        let both = [outer.is_only_one(), inner.is_only_one()];
        drop(outer);
        let again = inner.is_only_one();
        drop(inner);
        elsewhere.join().unwrap();
        (alone, both, again)
    });
    assert_eq!(outcomes, BTreeSet::from([(true, [false, false], true)]));
}

/// A turn that moves to another thread is not the business of the one that got it.
#[test]
fn who_gave_its_turn_away_may_wait_for_the_same_one_again() {
    let outcomes = explore(|world| {
        let (turn, _) = world.queue.enter(&0, Never, false).unwrap();
        turn.detach();
        let has_it = world.spawn(move |_| drop(turn));
        let came = world.section(0, Never);
        has_it.join().unwrap();
        came
    });
    assert_eq!(outcomes, BTreeSet::from([Turn]));
}

#[test]
fn who_waits_for_a_turn_that_was_given_away_is_in_no_circle() {
    let outcomes = explore(|world| {
        let (turn, _) = world.queue.enter(&0, Never, false).unwrap();
        turn.detach();
        let has_it = world.spawn(move |_| drop(turn));
        // It waits, perhaps, for a turn of the thread that gave the other one away.
        let other = world.spawn(|world| one_in_the_other(world, 1, 0));
        let came = world.section(1, Never);
        has_it.join().unwrap();
        assert!(matches!(came, Turn | TurnWithBaton));
        other.join().unwrap()
    });
    assert_eq!(outcomes, BTreeSet::from([Turn]));
}

#[test]
fn who_has_a_turn_that_was_given_away_is_not_seen_to_wait_for_itself() {
    let outcomes = explore(|world| {
        let (turn, _) = world.queue.enter(&0, Never, false).unwrap();
        turn.detach();
        let came = world.section(0, Passes);
        drop(turn);
        came
    });
    assert_eq!(outcomes, BTreeSet::from([Came::TimedOut]));
}
