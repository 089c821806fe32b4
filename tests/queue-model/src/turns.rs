//! Whose turn it is, and when.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    rc::Rc,
};

use loom::thread::current;

use crate::{
    sync::{
        Deadline::{Never, Passes, WakesForNothing},
        in_line,
    },
    world::{Came, explore, join},
};

#[test]
fn every_thread_gets_the_turn_and_no_two_at_the_same_time() {
    let lines = explore(|world| {
        let threads = [(); 3].map(|()| world.spawn(|world| world.lone_section(0, Never)));
        assert_eq!(world.lone_section(0, Never), Came::Turn);
        assert!(join(threads).iter().all(|came| *came == Came::Turn));
        in_line().len()
    });
    assert_eq!(lines, BTreeSet::from([0, 1, 2, 3]), "how many had to wait");
}

#[test]
fn those_who_wait_learn_of_the_holder_as_long_as_its_turn_lasts() {
    let learnt = explore(|world| {
        let (turn, _) = world.queue.enter(&0, Never, false).unwrap();
        let asks = world.spawn(|world| {
            let before = world.queue.holder(&0);
            world.lone_section(0, Never);
            before
        });
        turn.set_holder(7);
        drop(turn);
        let next = world.spawn(|world| {
            let (_turn, _) = world.queue.enter(&0, Never, false).unwrap();
            world.queue.holder(&0)
        });
        assert_eq!(join([next]), [None], "the turn before is over");
        join([asks])
    });
    assert_eq!(learnt, BTreeSet::from([[None], [Some(7)]]));
}

#[test]
fn turns_come_in_the_order_of_arrival() {
    let lines = explore(|world| {
        let served = Rc::new(RefCell::new(Vec::new()));
        let turn = world.queue.enter(&0, Never, false);
        let threads = [Never, Passes, Never].map(|deadline| {
            let served = served.clone();
            world.spawn(move |world| {
                world.section_around(0, deadline, false, || served.borrow_mut().push(current().id()));
            })
        });
        drop(turn);
        join(threads);

        let (mut line, mut served) = (in_line(), served.take());
        let arrived = line.len();
        line.retain(|thread| served.contains(thread)); // Not who left.
        served.retain(|thread| line.contains(thread)); // Not who came when nobody was there.
        assert_eq!(served, line);
        arrived
    });
    assert_eq!(lines, BTreeSet::from([0, 1, 2, 3]), "how many were in line");
}

#[test]
fn a_thread_that_times_out_strands_no_other_and_may_come_again() {
    let outcomes = explore(|world| {
        let turn = world.queue.enter(&0, Never, false);
        let leaves = world.spawn(|world| {
            let came = world.section(0, Passes);
            assert!(matches!(world.section(0, Never), Came::Turn | Came::TurnWithBaton));
            came
        });
        let stays = world.spawn(|world| world.lone_section(0, Never));
        drop(turn);
        (leaves.join().unwrap(), stays.join().unwrap())
    });
    assert_eq!(outcomes, BTreeSet::from([(Came::Turn, Came::Turn), (Came::TimedOut, Came::Turn)]));
}

#[test]
fn who_wakes_up_for_nothing_waits_on() {
    let lines = explore(|world| {
        let threads = [(); 2].map(|()| world.spawn(|world| world.lone_section(0, WakesForNothing)));
        assert_eq!(world.lone_section(0, WakesForNothing), Came::Turn);
        assert!(join(threads).iter().all(|came| *came == Came::Turn));
        in_line().len()
    });
    assert_eq!(lines, BTreeSet::from([0, 1, 2]), "how many had to wait");
}

#[test]
fn a_panic_in_the_turn_calls_the_next() {
    let lines = explore(|world| {
        let panics = world.spawn(|world| {
            let section = || world.section_around(0, Never, true, || resume_unwind(Box::new("in the work")));
            catch_unwind(AssertUnwindSafe(section)).unwrap_err();
        });
        let other = world.spawn(|world| world.section(0, Never));
        world.section(0, Never);
        panics.join().unwrap();
        assert!(matches!(other.join().unwrap(), Came::Turn | Came::TurnWithBaton));
        in_line().len()
    });
    assert_eq!(lines, BTreeSet::from([0, 1, 2]), "how many had to wait");
}

#[test]
fn who_has_the_turn_is_refused_another_at_once() {
    let outcomes = explore(|world| {
        let other = world.spawn(|world| world.section(0, Never));
        let outer = world.section_around(0, Never, true, || {
            world.section_around(1, Never, true, || world.section(0, Never)) // Within another key's, too.
        });
        other.join().unwrap();
        outer.1.unwrap()
    });
    assert_eq!(outcomes, BTreeSet::from([(Came::Turn, Some(Came::OwnTurn))]));
}

#[test]
fn two_keys_do_not_disturb_each_other() {
    let outcomes = explore(|world| {
        let (turn, _) = world.queue.enter(&0, Never, true).unwrap();
        let held = world.acquire(0);
        let waits = world.spawn(|world| world.section(0, Never));
        let others = [(); 2].map(|()| world.spawn(|world| world.section(1, Never)));
        let others = join(others); // While the first key's turn lasts.
        world.hand_off(turn, held);
        (waits.join().unwrap(), others.contains(&Came::TurnWithBaton))
    });
    let expected = [Came::Turn, Came::TurnWithBaton].map(|came| [(came, false), (came, true)]);
    assert_eq!(outcomes, BTreeSet::from_iter(expected.into_iter().flatten()));
}

#[test]
fn waiters_are_counted_and_the_owner_of_the_turn_is_not() {
    let counts = explore(|world| {
        let turns = [0, 1].map(|key| world.queue.enter(&key, Never, false));
        let threads = [(0, Passes), (0, Never), (1, Never)]
            .map(|(key, deadline)| world.spawn(move |world| world.lone_section(key, deadline)));
        let counts = (world.queue.waiting(&0), world.queue.total_waiting());
        drop(turns);
        join(threads);
        counts
    });
    let (of_one_key, in_all): (BTreeSet<_>, BTreeSet<_>) = counts.into_iter().unzip();
    assert_eq!((of_one_key, in_all), (BTreeSet::from([0, 1, 2]), BTreeSet::from([0, 1, 2, 3])));
}
