//! What the checker says of histories that are made up.

use std::time::{Duration, Instant};

use super::{
    checker::{Bounds, Violation, check, overlaps, overlaps_if_lost_counts},
    history::{Event, Outcome, Section, SectionId, Thread},
};

const BOUNDS: Bounds = Bounds { acquire: Duration::from_nanos(10), release: Duration::from_nanos(5) };

fn id(number: u32) -> SectionId {
    SectionId { of: Thread { process: number, thread: 0 }, number }
}

/// Of a section that was asked for right before it began, and ended right after it was over.
fn section(number: u32, [began, over]: [u64; 2], outcome: Outcome) -> [Event; 3] {
    let id = id(number);
    [
        Event::Asked { id, at: began - 1, timeout: 0 },
        Event::Began { id, at: began },
        Event::Ended { id, at: over + 1, over: Some(over), outcome },
    ]
}

/// How many overlap, and how many do so if `Lost` counts, too.
#[track_caller]
fn assert_overlaps(sections: &[([u64; 2], Outcome)], expected: [usize; 2]) {
    let events: Vec<_> =
        (0..).zip(sections).flat_map(|(number, (stay, outcome))| section(number, *stay, *outcome)).collect();
    let verdict = check(&events, BOUNDS);
    let overlaps = verdict.violations.iter().filter(|violation| matches!(violation, Violation::Overlap { .. })).count();
    assert_eq!([overlaps, verdict.overlaps_if_lost_counts], expected, "{:#?}", verdict.violations);
    assert_eq!(overlaps, verdict.violations.len(), "{:#?}", verdict.violations);
}

#[test]
fn sections_one_after_the_other_are_no_overlap() {
    assert_overlaps(&[([1, 5], Outcome::Ok), ([5, 6], Outcome::Ok), ([7, 9], Outcome::LeftOpen)], [0, 0]);
}

#[test]
fn two_that_are_told_ok_at_the_same_time_are_an_overlap_in_any_order() {
    for [one, other] in [[[1, 5], [4, 8]], [[4, 8], [1, 5]], [[1, 9], [3, 4]], [[2, 3], [2, 3]]] {
        for outcome in [Outcome::Ok, Outcome::LeftOpen] {
            assert_overlaps(&[(one, Outcome::Ok), (other, outcome)], [1, 1]);
        }
    }
}

#[test]
fn a_long_one_overlaps_with_each_that_runs_in_it() {
    let short = |began| ([began, began + 2], Outcome::Ok);
    assert_overlaps(&[([1, 100], Outcome::Ok), short(10), short(20), short(98), short(100)], [3, 3]);
}

#[test]
fn one_that_is_told_lost_may_overlap_and_may_not_be_counted_as_ok() {
    assert_overlaps(&[([1, 5], Outcome::Lost), ([4, 8], Outcome::Ok)], [0, 1]);
    assert_overlaps(&[([1, 5], Outcome::Ok), ([4, 8], Outcome::Lost), ([7, 9], Outcome::Ok)], [0, 2]);
}

#[test]
fn one_that_does_not_know_whether_it_was_exclusive_counts_for_nothing() {
    for outcome in [Outcome::WorkFailed, Outcome::Panicked, Outcome::Dropped] {
        assert_overlaps(&[([1, 5], outcome), ([4, 8], Outcome::Ok)], [0, 0]);
    }
}

#[test]
fn one_whose_process_was_killed_counts_for_nothing() {
    let [asked, began, _] = section(1, [2, 9], Outcome::Ok);
    let events: Vec<_> = [asked, began].into_iter().chain(section(2, [3, 4], Outcome::Ok)).collect();
    assert_eq!(check(&events, BOUNDS).violations, []);
}

#[test]
fn an_acquire_or_a_release_that_takes_too_long_is_found_unless_its_process_was_stopped() {
    let events = |acquire: u64, release: u64| {
        let id = id(1);
        [
            Event::Asked { id, at: 100, timeout: 20 },
            Event::Began { id, at: 120 + acquire },
            Event::Ended { id, at: 200 + release, over: Some(200), outcome: Outcome::Lost },
        ]
    };
    let late = |events: &[Event]| check(events, BOUNDS).violations;
    let time = Duration::from_nanos;
    assert_eq!(late(&events(10, 5)), []);
    assert_eq!(late(&events(11, 5)), [Violation::LateAcquire(id(1), time(31))]);
    assert_eq!(late(&events(10, 6)), [Violation::LateRelease(id(1), time(6))]);
    let frozen = |process, from, to| [&events(11, 5)[..], &[Event::Frozen { process, from, to }]].concat();
    assert_eq!(late(&frozen(1, 0, 101)), []);
    assert_eq!(late(&frozen(1, 130, 1_000)), []);
    assert_eq!(late(&frozen(1, 0, 100)).len(), 1, "before");
    assert_eq!(late(&frozen(1, 131, 140)).len(), 1, "after");
    assert_eq!(late(&frozen(2, 0, 101)).len(), 1, "another process");
}

#[test]
fn an_error_that_took_too_long_is_found() {
    let ended = |at| {
        [
            Event::Asked { id: id(1), at: 0, timeout: 20 },
            Event::Ended { id: id(1), at, over: None, outcome: Outcome::Timeout },
        ]
    };
    assert_eq!(check(&ended(30), BOUNDS).violations, []);
    assert_eq!(check(&ended(31), BOUNDS).violations.len(), 1);
}

#[test]
fn outcomes_that_can_not_be_are_found() {
    let without_work = |outcome| {
        let asked = Event::Asked { id: id(1), at: 0, timeout: 0 };
        let ended = Event::Ended { id: id(1), at: 1, over: None, outcome };
        check(&[asked, ended], BOUNDS).violations.len()
    };
    for outcome in [Outcome::Ok, Outcome::LeftOpen, Outcome::Lost, Outcome::Dropped, Outcome::Impossible] {
        assert_eq!(without_work(outcome), 1, "{outcome:?}");
    }
    for outcome in [Outcome::Busy, Outcome::Timeout, Outcome::NoMajority] {
        assert_eq!(without_work(outcome), 0, "{outcome:?}");
        assert_eq!(check(&section(1, [2, 3], outcome), BOUNDS).violations.len(), 1, "{outcome:?}");
    }
}

#[test]
fn what_was_found_at_once_is_a_violation() {
    let found = Event::Found { process: 1, what: "a panic".into() };
    assert_eq!(check(&[found], BOUNDS).violations, [Violation::Found("process 1: a panic".into())]);
}

/// Each section against each earlier one: slow, and easily seen to be right.
fn overlaps_the_long_way(sections: &[Section]) -> usize {
    let stays: Vec<_> = sections.iter().map(|section| (section.began.unwrap(), section.over.unwrap())).collect();
    let begins_in_another = |(place, (began, over)): (usize, &(u64, u64))| {
        let others = stays.iter().enumerate().filter(|(other, _)| *other != place);
        let is_earlier =
            |other: usize, other_began, other_over| (other_began, other_over, other) < (*began, *over, place);
        others.into_iter().any(|(other, (from, to))| is_earlier(other, *from, *to) && began < to)
    };
    stays.iter().enumerate().filter(|stay| begins_in_another(*stay)).count()
}

fn made_up(number: u32, began: u64, over: u64) -> Section {
    let ended = Some((over, Outcome::Ok));
    Section { id: id(number), asked: 0, timeout: 0, began: Some(began), over: Some(over), ended }
}

#[test]
fn the_fast_way_finds_what_the_long_way_finds() {
    for round in 0..2_000 {
        let random = |number| {
            let began = fastrand::u64(..20 + round % 200);
            made_up(number, began, began + fastrand::u64(1..5))
        };
        let sections: Vec<_> = (0..fastrand::u32(..12)).map(random).collect();
        let found = overlaps(&sections, Outcome::is_exclusive);
        assert_eq!(found.len(), overlaps_the_long_way(&sections), "{sections:#?}");
        assert_eq!(found.len(), overlaps_if_lost_counts(&sections));
    }
}

#[test]
fn a_million_sections_are_checked_soon() {
    let sections: Vec<_> = (0..1_000_000).map(|number| made_up(number, number.into(), 2_000_000)).collect();
    let start = Instant::now();
    assert_eq!(overlaps(&sections, Outcome::is_exclusive).len(), 999_999);
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}
