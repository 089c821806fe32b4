//! The promise, for every sequence of answers, errors, strikes of `KILL QUERY`, and panics, up to a depth.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    time::{Duration, Instant},
};

mod slots;

use super::{Hold, Request, kill::kill_own, story::Story};
use crate::{
    connection_id::ConnectionId,
    deadline::Timeout,
    driver::{
        blocking::ready,
        honest::WAIT_TIMEOUT,
        script::{OTHER, OWN, Play, Plays, Said, Script, explore},
    },
    error::NamedLockError,
    idle_limit::IdleLimit,
    name::LockName,
    names::Names,
    slots::Wanted,
    statement::acquire,
};

/// Who holds the lock before the section begins.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Before {
    Nobody,
    OuterSection,
    Elsewhere,
    /// Elsewhere, until this session has asked for it once.
    Passing,
}

#[derive(Debug, Clone, Copy)]
struct Case {
    names: &'static [&'static str],
    timeout: Timeout,
    reentrant: bool,
    idle_limit: bool,
    before: Before,
    /// The lock of which `before` tells.
    held: &'static str,
    /// The lock for which a proxy asks in a second session.
    proxied: Option<&'static str>,
    /// The names are a turnstile and slots.
    slots: Option<Wanted>,
}

const PLAIN: Case = Case {
    names: &["a"],
    timeout: Timeout::After(Duration::from_secs(5)),
    reentrant: false,
    idle_limit: false,
    before: Before::Nobody,
    held: "a",
    proxied: None,
    slots: None,
};

/// More than one statement takes.
const MANY: [&str; 12] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];

const CASES: [Case; 20] = [
    PLAIN,
    Case { before: Before::OuterSection, ..PLAIN },
    Case { before: Before::Elsewhere, ..PLAIN },
    Case { timeout: Timeout::After(Duration::from_millis(1500)), before: Before::Elsewhere, ..PLAIN },
    Case { timeout: Timeout::After(Duration::ZERO), before: Before::Elsewhere, ..PLAIN },
    Case { timeout: Timeout::Never, before: Before::Elsewhere, ..PLAIN },
    Case { reentrant: true, ..PLAIN },
    Case { reentrant: true, before: Before::OuterSection, ..PLAIN },
    Case { names: &["a", "b"], ..PLAIN },
    Case { names: &["a", "b"], reentrant: true, before: Before::OuterSection, ..PLAIN },
    Case { idle_limit: true, ..PLAIN },
    Case { names: &["a", "b"], before: Before::Elsewhere, held: "b", ..PLAIN },
    Case { names: &["a", "b"], before: Before::OuterSection, held: "b", ..PLAIN },
    Case { names: &["a", "b", "c"], before: Before::Elsewhere, held: "b", ..PLAIN },
    Case { names: &["a", "b", "c"], before: Before::OuterSection, ..PLAIN },
    Case { names: &MANY, ..PLAIN },
    Case { names: &MANY, before: Before::OuterSection, held: "k", ..PLAIN },
    Case { names: &MANY, before: Before::Elsewhere, held: "l", ..PLAIN },
    Case { names: &["a", "b"], proxied: Some("a"), before: Before::Elsewhere, held: "b", ..PLAIN },
    Case { names: &MANY, proxied: Some("l"), ..PLAIN },
];

impl Case {
    fn names(&self) -> Names {
        if self.slots.is_some() {
            return Names::One(LockName::from_static(slots::FAMILY));
        }
        let names = self.names.iter().map(|name| LockName::new(name).unwrap()).collect();
        Names::in_locking_order(names).unwrap()
    }

    /// The lock that somebody holds before the section begins.
    fn held_before(&self) -> Option<(&'static str, ConnectionId)> {
        match self.before {
            Before::Nobody => None,
            Before::OuterSection => Some((self.held, OWN)),
            Before::Elsewhere | Before::Passing => Some((self.held, OTHER)),
        }
    }
}

#[derive(Debug)]
enum Ended {
    NotRun(NamedLockError),
    Ran(Option<NamedLockError>),
    Panicked,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Work {
    Nothing,
    LeavesTransactions(u32),
    BreaksTransactionManager,
    LocksOnceMore,
    Unlocks,
    Panics,
}

const WORKS: [Work; 7] = [
    Work::Nothing,
    Work::LeavesTransactions(1),
    Work::LeavesTransactions(2),
    Work::BreaksTransactionManager,
    Work::LocksOnceMore,
    Work::Unlocks,
    Work::Panics,
];

impl Work {
    /// Whether this is what the caller is to be told, if the session lives to the end.
    fn is_told_by(self, error: Option<&NamedLockError>) -> bool {
        match (self, error) {
            (Self::Nothing | Self::LocksOnceMore, told) => told.is_none(),
            (Self::LeavesTransactions(levels), Some(NamedLockError::TransactionLeftOpen { depth, .. })) => {
                *depth == Some(levels)
            }
            (Self::BreaksTransactionManager, Some(NamedLockError::TransactionLeftOpen { depth, .. })) => {
                depth.is_none()
            }
            (Self::Unlocks, told) => matches!(told, Some(NamedLockError::Lost { .. })),
            _ => false,
        }
    }

    fn run(self, play: &mut Play) {
        let first = play.server.holders.get_mut("a");
        match self {
            Self::Nothing => {}
            Self::LeavesTransactions(depth) => play.depth = depth,
            Self::BreaksTransactionManager => play.is_marked = true,
            Self::LocksOnceMore => first.into_iter().for_each(|(_, count)| *count += 1),
            Self::Unlocks => drop(play.server.holders.remove("a")),
            Self::Panics => resume_unwind(Box::new("the work")),
        }
    }
}

/// One section as the blocking world runs it, from acquire to release, and again in a panic. Returns which of the works was run.
fn section(play: &mut Play, case: Case, names: &Names, works: &[Work]) -> (Ended, Option<Work>) {
    play.server.proxied = case.proxied;
    play.server.others_pass = case.before == Before::Passing;
    play.server.holders.extend(case.held_before().map(|(name, holder)| (name.into(), (holder, 1))));
    let idle_limit = case.idle_limit.then(|| IdleLimit::new(Duration::from_secs(60)).unwrap());
    let slots = case.slots.map(|wanted| slots::of_family(case.names.len() - 1, wanted));
    let Case { timeout, reentrant, .. } = case;
    let request = Request { deadline: timeout.start(), first_wait: timeout, reentrant, idle_limit, slots };
    let mut hold = Hold::new(names.clone());
    let mut work = None;
    let run = || {
        if let Err(error) = ready(hold.acquire::<Script, Play>(play, &request)) {
            return Ended::NotRun(error);
        }
        work.insert(play.choose(works)).run(play);
        Ended::Ran(ready(hold.release::<Script, Play>(play)).err())
    };
    let ended = catch_unwind(AssertUnwindSafe(run)).unwrap_or(Ended::Panicked);
    let clean_up = || {
        if matches!(ended, Ended::Panicked) {
            let _ = ready(hold.release::<Script, Play>(play));
        }
        ready(hold.restore_timeouts::<Script, Play>(play));
    };
    if catch_unwind(AssertUnwindSafe(clean_up)).is_err() {
        play.is_marked = true;
        play.silence();
        ready(kill_own::<Script, Play>(play));
    }
    (ended, work)
}

/// A session that is as it was, or is no more.
fn assert_timeouts(play: &Play, context: impl Fn() -> String) {
    let restored = play.server.wait_timeout.is_none_or(|seconds| seconds == WAIT_TIMEOUT);
    assert!(restored || was_killed(play), "the timeouts stay short: {}", context());
}

fn was_killed(play: &Play) -> bool {
    play.said.contains(&Said::KillOwn)
}

/// The lock may be held by another session, which could not be killed. Either the caller was told so, or the server had said
/// that it granted the lock to that session.
fn may_be_held_elsewhere(story: &Story<'_>, ended: &Ended) -> bool {
    match ended {
        Ended::Ran(error) => matches!(error, Some(NamedLockError::ConnectionSwapped { source: Some(_), .. })),
        Ended::NotRun(NamedLockError::Broken { .. }) | Ended::Panicked => story.was_granted_elsewhere(),
        Ended::NotRun(_) => false,
    }
}

fn assert_promise(play: &Play, case: Case, work: Option<Work>, ended: &Ended) {
    let context = || format!("{case:?}, {work:?}: {ended:?}, marked {}\n{:?}", play.is_marked, play.said);
    let is_ok = matches!(ended, Ended::Ran(None));
    for name in case.names {
        let story = Story { name, said: &play.said };
        let is_gone = was_killed(play) || play.server.is_own_session_gone;
        let killed = play.is_marked && (is_gone || may_be_held_elsewhere(&story, ended));
        assert!(story.is_known_to_be_free() || killed || story.is_outer(), "`{name}` may leak: {}", context());
        // Not every slot is acquired.
        let is_in_use = case.slots.is_none() || story.was_granted();
        assert!(
            !is_ok || !is_in_use || story.is_confirmed(),
            "Ok without a confirmed release of `{name}`: {}",
            context()
        );

        let mut granted = false;
        for said in play.said.iter().filter(|said| story.is_of(said)) {
            use acquire::Answer::{Granted, GrantedUnderPseudoId};
            granted |= match (story.asked_for(said), said) {
                (Some(answer), _) => matches!(answer, Some(Granted(_) | GrantedUnderPseudoId)),
                // What is held after that was not held before.
                (None, Said::WhoHolds(_, Some(found))) => found.is_free(),
                _ => false,
            };
            assert!(granted || !matches!(said, Said::Release(..)), "released what was never granted: {}", context());
        }
    }
    // Timeouts that can't be restored cost the session, after the release.
    assert!(!is_ok || !was_killed(play) || case.idle_limit, "killed, and yet Ok: {}", context());
    let first = play.said.iter().find(|said| matches!(said, Said::WhoHolds(..)));
    let is_outer = matches!(first, Some(Said::WhoHolds(_, Some(found))) if found.is_asker());
    if case.reentrant && is_outer && case.names.len() == 1 {
        assert!(!play.said.contains(&Said::KillOther), "killed the session of an outer section: {}", context());
    }

    assert_timeouts(play, context);

    let rolled_back = play.said.iter().position(|said| matches!(said, Said::RollBack { succeeded: true }));
    if let Ended::Ran(Some(NamedLockError::TransactionLeftOpen { .. })) = ended {
        // A turnstile is released before the closure runs.
        let is_turnstile = |name: &str| case.slots.is_some() && name == case.names[0];
        let released = play.said.iter().position(|said| matches!(said, Said::Release(name, _) if !is_turnstile(name)));
        assert!(rolled_back.is_some() && released.is_none_or(|at| rolled_back < Some(at)), "{}", context());
    }
    if let (Some(Work::LeavesTransactions(_) | Work::BreaksTransactionManager), Ended::Ran(None)) = (work, ended) {
        panic!("an open transaction was not told: {}", context());
    }
    let was_marked = work == Some(Work::BreaksTransactionManager);
    assert!(!was_marked || play.is_marked, "Diesel's mark is gone: {}", context());
}

fn run_all(plays: Plays, limit: fn(&Case) -> usize, check: impl Fn(&Play, Case, Option<Work>, &Ended)) -> usize {
    run_each(&CASES, plays, limit, check)
}

fn run_each(
    cases: &[Case],
    plays: Plays,
    limit: fn(&Case) -> usize,
    check: impl Fn(&Play, Case, Option<Work>, &Ended),
) -> usize {
    let start = Instant::now();
    let mut count = 0;
    for &case in cases {
        let names = case.names();
        count += explore(plays, limit(&case), |play| {
            let (ended, work) = section(play, case, &names, &WORKS);
            check(play, case, work, &ended);
        });
    }
    println!("{count} sequences of {plays:?} in {:?}", start.elapsed());
    count
}

#[test]
fn whatever_a_server_answers_no_section_is_ok_without_a_confirmed_release_and_no_lock_leaks() {
    // The second statement of a wait by a fraction of a second is a longer way.
    let depth = |case: &Case| match case.timeout {
        Timeout::After(time) if time.subsec_millis() > 0 => 5,
        _ => 4,
    };
    assert!(run_all(Plays::Anything, depth, assert_promise) > 80_000);
}

/// But for a lock that was granted by a statement which then failed: nobody can tell whose it is.
#[test]
fn no_healthy_session_is_killed_because_statements_were_struck() {
    let count = run_all(
        Plays::Strikes { in_a_row: 12 },
        |_| 6,
        |play, case, work, ended| {
            assert_promise(play, case, work, ended);
            // Asking before leaves no doubt.
            let has_no_answer = |said: &Said| matches!(said, Said::GetLock(_, None) | Said::GetLocks(_, None));
            let in_doubt = !case.reentrant && play.said.iter().any(has_no_answer);
            assert!(in_doubt || !was_killed(play), "{case:?}, {work:?}: {ended:?}\n{:?}", play.said);
            if let Ended::Ran(error) = ended {
                // One that was struck may have been the last, so that the next answer is "not held".
                let release_was_struck = play.said.iter().any(|said| matches!(said, Said::Release(_, None)));
                let is_told = release_was_struck || work.is_some_and(|work| work.is_told_by(error.as_ref()));
                assert!(is_told, "{case:?}, {work:?}: {ended:?}\n{:?}", play.said);
            }
            let mut holders: Vec<_> =
                play.server.holders.iter().map(|(name, (holder, _))| (&**name, *holder)).collect();
            if was_killed(play) || work == Some(Work::Unlocks) {
                holders.extend(case.held_before().filter(|(_, holder)| *holder == OWN && holders.is_empty()));
            }
            // A proxy's second session can't be told from anybody else's, if the server's answer is missing.
            let proxied = Story { name: case.proxied.unwrap_or_default(), said: &play.said };
            if play.said.iter().any(|said| proxied.asked_for(said) == Some(None)) {
                return;
            }
            assert_eq!(holders, Vec::from_iter(case.held_before()), "{case:?}, {work:?}: {ended:?}\n{:?}", play.said);
        },
    );
    assert!(count > 50_000);
}

/// More in a row than there are attempts.
#[test]
fn strikes_beyond_every_bound_cost_the_session_but_not_the_promise() {
    assert!(run_all(Plays::Strikes { in_a_row: 30 }, |_| 6, assert_promise) > 25_000);
}

#[test]
fn a_proxys_second_session_that_can_not_be_killed_is_reported() {
    let told = |names, proxied, is_told: fn(&Ended) -> bool| {
        let case = Case { names, proxied: Some(proxied), ..PLAIN };
        explore(Plays::Anything, 0, |play| {
            play.server.refuses_kills = true;
            let (ended, work) = section(play, case, &case.names(), &[Work::Nothing, Work::Panics]);
            assert_promise(play, case, work, &ended);
            assert!(play.is_marked && is_told(&ended), "{case:?}: {ended:?}\n{:?}", play.said);
        });
    };
    use NamedLockError::{Broken, ConnectionSwapped};
    told(&MANY, "l", |ended| matches!(ended, Ended::NotRun(Broken { .. })));
    for names in [&["a"] as &[_], &["a", "b"]] {
        told(names, "a", |ended| {
            let is_swapped = |error: &NamedLockError| matches!(error, ConnectionSwapped { source: Some(_), .. });
            matches!(ended, Ended::Ran(Some(error)) if is_swapped(error)) || matches!(ended, Ended::Panicked)
        });
    }
}

#[test]
fn a_section_that_nothing_befalls_is_ok() {
    let is_granted = |case: &Case| case.before == Before::Nobody || case.reentrant;
    for case in CASES.into_iter().filter(|case| is_granted(case) && case.proxied.is_none()) {
        explore(Plays::Anything, 0, |play| {
            let (ended, _) = section(play, case, &case.names(), &[Work::Nothing]);
            assert!(matches!(ended, Ended::Ran(None)), "{case:?}: {ended:?}");
        });
    }
}

#[test]
fn a_lock_that_is_held_is_refused_by_its_holder() {
    let refused = |before, timeout, expected: fn(&NamedLockError) -> bool| {
        explore(Plays::Anything, 0, |play| {
            let case = Case { before, timeout: Timeout::After(timeout), ..PLAIN };
            match section(play, case, &case.names(), &[Work::Panics]).0 {
                Ended::NotRun(error) => assert!(expected(&error), "{case:?}: {error:?}"),
                other => panic!("{case:?}: {other:?}"),
            }
        });
    };
    for timeout in [Duration::ZERO, Duration::from_millis(1), Duration::from_secs(5)] {
        refused(Before::Elsewhere, timeout, |error| matches!(error, NamedLockError::Timeout { .. }));
        refused(Before::OuterSection, timeout, |error| matches!(error, NamedLockError::AlreadyHeld { .. }));
    }
}
