//! What passes from turn to turn. That every baton that was passed is taken up, and that nobody takes up a lock that is
//! held already or was left behind, is checked after every run and at every acquire.

use std::collections::BTreeSet;

use crate::{
    sync::Deadline::{Never, Passes},
    world::{
        Came::{TimedOut, Turn, TurnWithBaton},
        explore, join,
    },
};

#[test]
fn a_baton_goes_from_hand_to_hand() {
    let outcomes = explore(|world| {
        let threads = [(); 2].map(|()| world.spawn(|world| world.section(0, Never)));
        let mut came = vec![world.section(0, Never)];
        came.extend(join(threads));
        came.sort();
        came
    });
    let expected = [[Turn, Turn, Turn], [Turn, Turn, TurnWithBaton], [Turn, TurnWithBaton, TurnWithBaton]];
    assert_eq!(outcomes, BTreeSet::from(expected.map(Vec::from)));
}

#[test]
fn a_baton_comes_back_if_the_next_one_has_left() {
    let outcomes = explore(|world| {
        let (turn, _) = world.queue.enter(&0, Never, true).unwrap();
        let held = world.acquire(0);
        let next = world.spawn(|world| world.section(0, Passes));
        (world.hand_off(turn, held), next.join().unwrap())
    });
    let expected = [
        ((false, false), Turn),
        ((false, false), TimedOut),
        ((false, true), TurnWithBaton), // Came between the question and the pass.
        ((true, true), TurnWithBaton),  // Maybe as its time ran out.
        ((true, false), TimedOut),      // Left between the question and the pass.
    ];
    assert_eq!(outcomes, BTreeSet::from(expected));
}

#[test]
fn if_the_next_one_has_left_the_baton_is_for_the_one_behind() {
    let outcomes = explore(|world| {
        let (turn, _) = world.queue.enter(&0, Never, true).unwrap();
        let held = world.acquire(0);
        let leaves = world.spawn(|world| world.section(0, Passes));
        let stays = world.spawn(|world| world.section(0, Never));
        world.hand_off(turn, held);
        (leaves.join().unwrap(), stays.join().unwrap())
    });
    let stays = [Turn, TurnWithBaton];
    let expected = [Turn, TurnWithBaton, TimedOut].map(|leaves| stays.map(|stays| (leaves, stays)));
    assert_eq!(outcomes, BTreeSet::from_iter(expected.into_iter().flatten()));
}

#[test]
fn who_takes_no_baton_gets_the_turn_without() {
    let outcomes = explore(|world| {
        let (turn, _) = world.queue.enter(&0, Never, true).unwrap();
        let held = world.acquire(0);
        let leaves = world.spawn(|world| world.section(0, Passes));
        let takes_none = world.spawn(|world| world.lone_section(0, Never));
        let (_, passed) = world.hand_off(turn, held);
        (passed, leaves.join().unwrap(), takes_none.join().unwrap())
    });
    let expected = [(false, Turn, Turn), (false, TimedOut, Turn), (true, TurnWithBaton, Turn)];
    assert_eq!(outcomes, BTreeSet::from(expected));
}

#[test]
fn a_place_that_is_dropped_strands_no_thread_and_hands_off_its_baton() {
    let outcomes = explore(|world| {
        let (turn, _) = world.queue.enter(&0, Never, true).unwrap();
        let held = world.acquire(0);
        let dropped = world.spawn(|world| world.drop_place(0));
        let stays = world.spawn(|world| world.section(0, Never));
        world.hand_off(turn, held);
        dropped.join().unwrap();
        stays.join().unwrap()
    });
    assert_eq!(outcomes, BTreeSet::from([Turn, TurnWithBaton]));
}

#[test]
fn a_place_takes_its_turn_once_it_has_come_and_leaves_the_line_otherwise() {
    let outcomes = explore(|world| {
        let (turn, _) = world.queue.enter(&0, Never, true).unwrap();
        let held = world.acquire(0);
        let asks = world.spawn(|world| world.ask_and_drop_place(0));
        let takes_none = world.spawn(|world| world.lone_section(0, Never));
        world.hand_off(turn, held);
        (asks.join().unwrap(), takes_none.join().unwrap())
    });
    assert_eq!(outcomes, BTreeSet::from([(false, Turn), (true, Turn)]));
}
