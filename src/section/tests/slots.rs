//! The same for slots behind a turnstile.

use std::sync::Arc;

use super::*;
use crate::slots::Slots;

pub(super) const FAMILY: &str = "f";
const NAMES: &[&str] = &["f#wait", "f#1", "f#2"];

const PERMIT: Case = Case { names: NAMES, slots: Some(Wanted::Some(1)), held: "f#1", ..PLAIN };
const BOTH: Case = Case { slots: Some(Wanted::Some(2)), ..PERMIT };
const EXCLUSIVE: Case = Case { slots: Some(Wanted::All), ..PERMIT };
const NO_WAIT: Timeout = Timeout::After(Duration::ZERO);
const SHORT: Timeout = Timeout::After(Duration::from_micros(1));

const CASES: [Case; 18] = [
    PERMIT,
    Case { before: Before::Elsewhere, ..PERMIT },
    Case { before: Before::Elsewhere, held: "f#wait", ..PERMIT },
    Case { before: Before::Elsewhere, held: "f#wait", timeout: NO_WAIT, ..PERMIT },
    Case { before: Before::OuterSection, ..PERMIT },
    Case { before: Before::OuterSection, held: "f#wait", ..PERMIT },
    Case { before: Before::OuterSection, reentrant: true, ..PERMIT },
    Case { idle_limit: true, ..PERMIT },
    Case { names: &["f#wait", "f#1"], before: Before::Elsewhere, timeout: NO_WAIT, ..PERMIT },
    Case { names: &["f#wait", "f#1"], before: Before::Elsewhere, timeout: SHORT, ..PERMIT },
    BOTH,
    Case { before: Before::Elsewhere, timeout: SHORT, ..BOTH },
    Case { before: Before::Elsewhere, held: "f#2", timeout: NO_WAIT, ..BOTH },
    EXCLUSIVE,
    Case { before: Before::Elsewhere, ..EXCLUSIVE },
    Case { before: Before::OuterSection, ..EXCLUSIVE },
    Case { before: Before::OuterSection, held: "f#wait", reentrant: true, ..EXCLUSIVE },
    Case { reentrant: true, ..EXCLUSIVE },
];

pub(super) fn of_family(count: usize, wanted: Wanted) -> Arc<Slots> {
    Slots::new(LockName::from_static(FAMILY), u32::try_from(count).unwrap(), wanted).into()
}

fn assert_slots(play: &Play, case: Case, work: Option<Work>, ended: &Ended) {
    assert_promise(play, case, work, ended);
    let is_confirmed = |name: &&&str| Story { name, said: &play.said }.is_confirmed();
    let confirmed = case.names[1..].iter().filter(is_confirmed).count();
    let asked = play.said.iter().any(|said| matches!(said, Said::GetLock(..) | Said::GetLocks(..)));
    let is_enough = match case.slots {
        Some(Wanted::Some(wanted)) => confirmed >= wanted,
        // The outer section has all slots, if the server says so.
        _ if case.reentrant && !asked => is_confirmed(&&case.names[0]),
        _ => confirmed == case.names.len() - 1 && is_confirmed(&&case.names[0]),
    };
    let is_ok = matches!(ended, Ended::Ran(None));
    assert!(!is_ok || is_enough, "Ok with {confirmed} slots: {case:?}\n{:?}", play.said);
}

#[test]
fn whatever_a_server_answers_no_permit_is_ok_without_a_confirmed_release_and_no_slot_leaks() {
    assert!(run_each(&CASES, Plays::Anything, |_| 4, assert_slots) > 80_000);
}

/// A section that does not wait tries more than once. The first answer tells that it holds nothing.
#[test]
fn no_healthy_session_is_killed_because_a_later_attempt_to_pass_the_turnstile_was_struck() {
    let case = Case { before: Before::Passing, held: "f#wait", timeout: NO_WAIT, ..PERMIT };
    let check = |play: &Play, case: Case, work: Option<Work>, ended: &Ended| {
        assert_slots(play, case, work, ended);
        let first_was_struck = matches!(play.said.first(), Some(Said::GetLock(_, None)));
        assert!(first_was_struck || !was_killed(play), "{work:?}: {ended:?}\n{:?}", play.said);
    };
    assert!(run_each(&[case], Plays::Strikes { in_a_row: 12 }, |_| 6, check) > 100);
}

/// But for slots that were granted by a statement which then failed, if it is not known whose they are.
#[test]
fn no_healthy_session_is_killed_because_statements_for_slots_were_struck() {
    let check = |play: &Play, case: Case, work: Option<Work>, ended: &Ended| {
        assert_slots(play, case, work, ended);
        // The first statement finds out what the session holds already.
        let first = play.said.iter().find(|said| **said != Said::Else);
        let first_was_struck = matches!(first, Some(Said::GetLock(_, None)));
        let is_exclusive = case.slots == Some(Wanted::All);
        let was_struck = |said: &Said| matches!(said, Said::GetLock(_, None) | Said::GetLocks(_, None));
        let in_doubt = first_was_struck || is_exclusive && play.said.iter().any(was_struck);
        assert!(in_doubt || !was_killed(play), "{case:?}, {work:?}: {ended:?}\n{:?}", play.said);
        let mut holders: Vec<_> = play.server.holders.iter().map(|(name, (holder, _))| (&**name, *holder)).collect();
        if was_killed(play) || work == Some(Work::Unlocks) {
            holders.extend(case.held_before().filter(|(_, holder)| *holder == OWN && holders.is_empty()));
        }
        assert_eq!(holders, Vec::from_iter(case.held_before()), "{case:?}, {work:?}: {ended:?}\n{:?}", play.said);
    };
    assert!(run_each(&CASES, Plays::Strikes { in_a_row: 12 }, |_| 6, check) > 30_000);
}

#[test]
fn a_section_with_permits_that_nothing_befalls_is_ok() {
    for case in CASES.into_iter().filter(|case| case.before == Before::Nobody) {
        explore(Plays::Anything, 0, |play| {
            let (ended, _) = section(play, case, &case.names(), &[Work::Nothing]);
            assert!(matches!(ended, Ended::Ran(None)), "{case:?}: {ended:?}");
        });
    }
}
