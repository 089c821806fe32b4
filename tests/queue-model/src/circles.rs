//! Threads that wait for each other.

use std::collections::BTreeSet;

use crate::{
    sync::Deadline::Never,
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
