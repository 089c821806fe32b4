//! What the checker says of histories written by hand.

use std::time::Duration;

use libtest_mimic::{Failed, Trial};

use crate::{
    checker::check,
    history::{Event, Gone, History, Killed, Outcome, Report, SectionId, Write},
    look::{self, Look},
    subject::{PERMITS, SHARED, capacity},
    tables::LEADER,
    violation::Kind,
};

const FIRST: u64 = 1;
const SECOND: u64 = 2;
const THIRD: u64 = 3;

/// What a section with one permit holds.
const ONE: [&str; 1] = ["torture:two:permit"];

pub fn trials() -> Vec<Trial> {
    let trial = |name: &str, history: History, expected: &[Kind]| {
        let expected = expected.to_vec();
        Trial::test(format!("checker_on_{name}"), move || expect(&history, &expected))
    };
    let timeout = Report { outcome: Outcome::Timeout, alone: false, ..report(FIRST) };
    let patient = Report { waited: Duration::from_secs(20), ..report(FIRST) };
    let lost = Report { outcome: Outcome::Lost, alone: false, ..report(FIRST) };
    let interrupted = Report { outcome: Outcome::Interrupted, alone: false, ..report(FIRST) };
    let held = Report { outcome: Outcome::AlreadyHeld, alone: false, ..report(FIRST) };
    vec![
        trial("two_in_turn", with_events(&[FIRST, FIRST, SECOND, SECOND], &[FIRST, SECOND]), &[]),
        trial("two_at_once", with_events(&[FIRST, SECOND, FIRST, SECOND], &[FIRST, SECOND]), &[Kind::Overlap]),
        trial("one_told_ok_amid_another", with_events(&[FIRST, SECOND, FIRST], &[SECOND]), &[Kind::FalseOk]),
        trial("one_inside_of_two_killed_ones", with_events(&[FIRST, SECOND, FIRST], &[]), &[Kind::Overlap]),
        trial(
            "two_leaders_at_once",
            led(with_events(&[FIRST, SECOND, FIRST, SECOND], &[FIRST, SECOND])),
            &[Kind::Overlap],
        ),
        trial(
            "a_leader_that_writes_on_after_its_loss",
            led(with_events(&[FIRST, SECOND, FIRST, SECOND], &[SECOND])),
            &[],
        ),
        trial(
            "as_many_as_there_are_permits",
            permits(with_events(&[FIRST, SECOND, FIRST, SECOND], &[FIRST, SECOND])),
            &[],
        ),
        trial(
            "one_holder_too_many",
            permits(with_events(&[FIRST, SECOND, THIRD, FIRST, SECOND, THIRD], &[FIRST, SECOND, THIRD])),
            &[Kind::Overlap],
        ),
        trial(
            "one_told_ok_amid_too_many",
            permits(with_events(&[FIRST, SECOND, THIRD, FIRST, SECOND, THIRD], &[SECOND])),
            &[Kind::FalseOk],
        ),
        trial(
            "one_with_two_permits_beside_another",
            weighing(2, FIRST, permits(with_events(&[FIRST, SECOND, FIRST], &[FIRST, SECOND]))),
            &[Kind::Overlap],
        ),
        trial(
            "a_permit_inside_of_a_permit",
            on_one_session(permits(with_events(&[FIRST, SECOND, THIRD, FIRST, SECOND, THIRD], &[]))),
            &[],
        ),
        trial(
            "shared_ones_at_once",
            shared(with_events(&[FIRST, SECOND, THIRD, FIRST, SECOND, THIRD], &[FIRST, SECOND, THIRD])),
            &[],
        ),
        trial(
            "an_exclusive_one_beside_a_shared_one",
            exclusive(FIRST, with_events(&[FIRST, SECOND, FIRST, SECOND], &[FIRST, SECOND])),
            &[Kind::Overlap],
        ),
        trial(
            "an_exclusive_one_told_ok_amid_a_shared_one",
            exclusive(SECOND, with_events(&[FIRST, SECOND, SECOND, FIRST], &[SECOND])),
            &[Kind::FalseOk],
        ),
        trial("a_leaked_turnstile", came_with("torture:two:permit#wait,", &[]), &[Kind::Leak]),
        trial("a_leaked_slot", came_with("torture:two:permit#2,", &[]), &[Kind::Leak]),
        trial(
            "a_slot_beside_the_turnstile",
            came_with("torture:two:permit#wait,torture:two:permit#1,", &ONE),
            &[Kind::Leak],
        ),
        trial("a_slot_too_many", came_with("torture:two:permit#1,torture:two:permit#2,", &ONE), &[Kind::Leak]),
        trial("any_slot", came_with("torture:two:permit#2,", &ONE), &[]),
        trial("a_missing_update", told(report(FIRST)), &[Kind::LostUpdate]),
        trial("a_timeout_before_its_time", told(timeout), &[Kind::TooEarly]),
        trial("a_waiter_that_was_not_woken", written(told(patient)), &[Kind::NeverWoken]),
        trial("a_lock_lost_for_no_reason", told(lost.clone()), &[Kind::Unprovoked]),
        trial("a_lock_lost_by_a_killed_session", ended(told(lost.clone())), &[]),
        trial(
            "a_lock_lost_by_kill_query",
            History { struck: [FIRST].into(), ..told(lost.clone()) },
            &[Kind::Unprovoked],
        ),
        trial("a_lock_lost_by_a_doubtful_grant", History { reports: vec![lost], ..killed(true) }, &[]),
        trial(
            "more_interrupted_than_killed",
            History { struck: [FIRST].into(), ..told(interrupted) },
            &[Kind::Unprovoked],
        ),
        trial("a_lock_held_before", told(held), &[Kind::Leak]),
        trial("a_healthy_session_killed", killed(false), &[Kind::HealthyKilled]),
        trial("a_session_killed_by_the_tormentor_too", ended(killed(false)), &[]),
        trial("a_session_killed_for_a_doubtful_grant", killed(true), &[]),
        trial("a_healthy_session_gone", gone(), &[Kind::HealthyKilled]),
        trial("a_session_gone_that_the_tormentor_killed", ended(gone()), &[]),
    ]
}

fn expect(history: &History, expected: &[Kind]) -> Result<(), Failed> {
    let violations = check(history);
    let kinds: Vec<Kind> = violations.iter().map(|violation| violation.kind).collect();
    if kinds == expected { Ok(()) } else { Err(format!("{expected:?} expected, got {violations:?}").into()) }
}

/// Told `Ok`, on the session of the same number.
fn report(section: u64) -> Report {
    Report {
        section: SectionId(section),
        connection: Some(section),
        in_turn: false,
        by_guard: false,
        updates: 1,
        timeout: Some(Duration::from_secs(1)),
        waited: Duration::from_millis(1),
        outcome: Outcome::Ok,
        alone: true,
        within: false,
    }
}

fn told(report: Report) -> History {
    History { reports: vec![report], ..History::default() }
}

/// By itself, after nothing but `KILL QUERY`.
fn killed(at_grant: bool) -> History {
    let killed = vec![Killed { connection: FIRST, at_grant, last: vec!["SELECT 1".to_owned()] }];
    History { struck: [FIRST].into(), killed, ..gone() }
}

/// The tormentor has killed its session.
fn ended(history: History) -> History {
    History { struck: [FIRST].into(), ended: [FIRST].into(), ..history }
}

fn gone() -> History {
    History { gone: vec![Gone { connection: FIRST, process: 0, life: 0 }], ..History::default() }
}

fn written(history: History) -> History {
    let write = |(value, report): (i64, &Report)| Write {
        id: value as u64,
        section: report.section.0,
        name: "a".to_owned(),
        found: value,
        value: value + 1,
    };
    History { writes: (0..).zip(&history.reports).map(write).collect(), ..history }
}

/// The same, by leaders.
fn led(history: History) -> History {
    over(LEADER, history)
}

fn over(name: &str, mut history: History) -> History {
    history.events.iter_mut().for_each(|event| event.name = name.to_owned());
    history
}

/// The same, over permits, of which there are two.
fn permits(history: History) -> History {
    over(PERMITS[0].0, history)
}

fn shared(history: History) -> History {
    over(SHARED, history)
}

/// The same, over a lock that this section has alone, and others share.
fn exclusive(section: u64, history: History) -> History {
    weighing(capacity(SHARED), section, shared(history))
}

fn weighing(weight: u32, section: u64, mut history: History) -> History {
    history.events.iter_mut().filter(|event| event.section == section).for_each(|event| event.weight = weight);
    history
}

fn on_one_session(mut history: History) -> History {
    history.events.iter_mut().for_each(|event| event.connection = FIRST);
    history
}

/// A session came to a section with these locks.
fn came_with(held: &str, kinds: &[&str]) -> History {
    let leak = look::leak(&Look { id: FIRST, held: held.to_owned() }, kinds);
    History { found: leak.into_iter().collect(), ..History::default() }
}

/// Events of these sections in this order, of which those were told `Ok`.
fn with_events(sections: &[u64], ok: &[u64]) -> History {
    let event = |(id, &section): (u64, &u64)| Event {
        id,
        section,
        name: "a".to_owned(),
        connection: section,
        kind: "enter or leave".to_owned(),
        weight: 1,
    };
    let events = (1..).zip(sections).map(event).collect();
    written(History { events, reports: ok.iter().copied().map(report).collect(), ..History::default() })
}
