//! The promise, for every sequence of answers, errors, strikes of `KILL QUERY`, and panics, up to a depth.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    time::{Duration, Instant},
};

use super::{Hold, Request, kill::kill_own};
use crate::{
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
    statement::{acquire, release},
};

/// Who holds the lock before the section begins.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Before {
    Nobody,
    OuterSection,
    Elsewhere,
}

#[derive(Debug, Clone, Copy)]
struct Case {
    names: &'static [&'static str],
    timeout: Duration,
    reentrant: bool,
    idle_limit: bool,
    before: Before,
}

const PLAIN: Case = Case {
    names: &["a"],
    timeout: Duration::from_secs(5),
    reentrant: false,
    idle_limit: false,
    before: Before::Nobody,
};

const CASES: [Case; 9] = [
    PLAIN,
    Case { before: Before::OuterSection, ..PLAIN },
    Case { before: Before::Elsewhere, ..PLAIN },
    Case { timeout: Duration::from_millis(1500), before: Before::Elsewhere, ..PLAIN },
    Case { reentrant: true, ..PLAIN },
    Case { reentrant: true, before: Before::OuterSection, ..PLAIN },
    Case { names: &["a", "b"], ..PLAIN },
    Case { names: &["a", "b"], reentrant: true, before: Before::OuterSection, ..PLAIN },
    Case { idle_limit: true, ..PLAIN },
];

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

/// One section as the blocking world runs it, from acquire to release, and again in a panic.
fn section(play: &mut Play, case: Case, work: Work) -> Ended {
    let names = case.names.iter().map(|name| LockName::new(name).unwrap()).collect();
    let timeout = Timeout::After(case.timeout);
    let idle_limit = case.idle_limit.then(|| IdleLimit::new(Duration::from_secs(60)).unwrap());
    let request = Request { deadline: timeout.start(), first_wait: timeout, reentrant: case.reentrant, idle_limit };
    let mut hold = Hold::new(Names::in_locking_order(names).unwrap());
    let run = || {
        if let Err(error) = ready(hold.acquire::<Script, Play>(play, &request)) {
            return Ended::NotRun(error);
        }
        work.run(play);
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
    ended
}

fn prepare(play: &mut Play, case: Case) {
    let holder = match case.before {
        Before::Nobody => return,
        Before::OuterSection => OWN,
        Before::Elsewhere => OTHER,
    };
    play.server.holders.insert("a".into(), (holder, 1));
}

/// What was said of one lock, in order.
struct Story<'a> {
    name: &'a str,
    said: &'a [Said],
}

impl Story<'_> {
    fn is_of(&self, said: &Said) -> bool {
        matches!(said, Said::GetLock(name, _) | Said::WhoHolds(name, _) | Said::Release(name, _) if name == self.name)
    }

    fn last_release(&self) -> Option<&Said> {
        self.said.iter().rev().find(|said| matches!(said, Said::Release(name, _) if name == self.name))
    }

    /// The server has granted the lock, or may have.
    fn may_have_been_granted(said: &Said) -> bool {
        use acquire::Answer::{Busy, HeldBefore};
        matches!(said, Said::GetLock(_, answer) if !matches!(answer, Some(Busy | HeldBefore(_))))
    }

    /// After the last statement that may have got the lock, the server has said that this session does not hold it.
    fn is_known_to_be_free(&self) -> bool {
        let (mut free, mut holder, mut under_pseudo_id, mut to_own) = (true, None, false, false);
        for said in self.said {
            match said {
                Said::WhoAmI(Some(Some(id))) => free |= holder.is_some_and(|holder| holder != *id),
                said if !self.is_of(said) => {}
                said if Self::may_have_been_granted(said) => {
                    free = false;
                    to_own = matches!(said, Said::GetLock(_, Some(acquire::Answer::Granted(_))));
                    under_pseudo_id = matches!(said, Said::GetLock(_, Some(acquire::Answer::GrantedUnderPseudoId)));
                }
                // The session had held it before.
                Said::Release(_, Some(release::Answer::HeldAgain)) if under_pseudo_id => free = true,
                Said::Release(_, Some(release::Answer::Released | release::Answer::NotHeld)) => free = true,
                Said::WhoHolds(_, Some(found)) => {
                    holder = found.holder;
                    free |= holder.is_none() || holder == Some(OTHER) && (found.asker == OWN || to_own);
                }
                _ => {}
            }
        }
        free
    }

    /// An outer section's: it was seen to be held by the session that asked, before anything was asked for.
    fn is_outer(&self) -> bool {
        let first = self.said.iter().find(|said| self.is_of(said));
        matches!(first, Some(Said::WhoHolds(_, Some(found))) if found.is_asker())
    }

    fn is_confirmed(&self) -> bool {
        use release::Answer::{HeldAgain, NotHeld, Released};
        match self.last_release() {
            Some(Said::Release(_, Some(Released))) => true,
            Some(Said::Release(_, Some(NotHeld))) => {
                self.said.iter().any(|said| matches!(said, Said::Release(name, Some(HeldAgain)) if name == self.name))
            }
            Some(_) => false,
            // An outer section's, of the session that was seen to hold it at the beginning, and again at the end.
            None => {
                let mut looks = self.said.iter().filter_map(|said| match said {
                    Said::WhoHolds(name, Some(found)) if name == self.name => Some(found),
                    _ => None,
                });
                let first = looks.next();
                first.is_some_and(|first| looks.next_back().is_some_and(|last| last.holder == Some(first.asker)))
            }
        }
    }
}

/// A session that is as it was, or is no more.
fn assert_timeouts(play: &Play, context: impl Fn() -> String) {
    let restored = play.server.wait_timeout.is_none_or(|seconds| seconds == WAIT_TIMEOUT);
    assert!(restored || play.is_marked, "the timeouts stay short: {}", context());
}

fn was_killed(play: &Play) -> bool {
    play.said.contains(&Said::KillOwn)
}

fn assert_promise(play: &Play, case: Case, work: Work, ended: &Ended) {
    let context = || format!("{case:?}, {work:?}: {ended:?}, marked {}\n{:?}", play.is_marked, play.said);
    let is_ok = matches!(ended, Ended::Ran(None));
    for name in case.names {
        let story = Story { name, said: &play.said };
        let killed = was_killed(play) && play.is_marked || play.said.contains(&Said::KillOther);
        assert!(story.is_known_to_be_free() || killed || story.is_outer(), "`{name}` may leak: {}", context());
        assert!(!is_ok || story.is_confirmed(), "Ok without a confirmed release of `{name}`: {}", context());

        let mut granted = false;
        for said in play.said.iter().filter(|said| story.is_of(said)) {
            use acquire::Answer::{Granted, GrantedUnderPseudoId};
            granted |= match said {
                Said::GetLock(_, answer) => matches!(answer, Some(Granted(_) | GrantedUnderPseudoId)),
                // What is held after that was not held before.
                Said::WhoHolds(_, Some(found)) => found.is_free(),
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
        let released = play.said.iter().position(|said| matches!(said, Said::Release(..)));
        assert!(rolled_back.is_some() && released.is_none_or(|at| rolled_back < Some(at)), "{}", context());
    }
    if let (Work::LeavesTransactions(_), Ended::Ran(None)) = (work, ended) {
        panic!("an open transaction was not told: {}", context());
    }
}

fn run_all(plays: Plays, limit: fn(&Case) -> usize, check: impl Fn(&Play, Case, Work, &Ended)) -> usize {
    let start = Instant::now();
    let mut count = 0;
    for case in CASES {
        for work in WORKS {
            count += explore(plays, limit(&case), |play| {
                prepare(play, case);
                let ended = section(play, case, work);
                check(play, case, work, &ended);
            });
        }
    }
    println!("{count} sequences of {plays:?} in {:?}", start.elapsed());
    count
}

#[test]
fn whatever_a_server_answers_no_section_is_ok_without_a_confirmed_release_and_no_lock_leaks() {
    // The second statement of a wait by a fraction of a second is a longer way.
    let depth = |case: &Case| if case.timeout.subsec_millis() > 0 { 5 } else { 4 };
    assert!(run_all(Plays::Anything, depth, assert_promise) > 100_000);
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
            let in_doubt = !case.reentrant && play.said.iter().any(|said| matches!(said, Said::GetLock(_, None)));
            let excused = in_doubt || work == Work::BreaksTransactionManager;
            assert!(excused || !was_killed(play), "{case:?}, {work:?}: {ended:?}\n{:?}", play.said);
            let outer = play.server.holders.get("a").map(|(holder, _)| *holder);
            if case.before == Before::OuterSection && work == Work::Nothing && !was_killed(play) {
                assert_eq!(outer, Some(OWN), "the outer section lost its lock: {ended:?}\n{:?}", play.said);
            }
        },
    );
    assert!(count > 50_000);
}

#[test]
fn a_section_that_nothing_befalls_is_ok() {
    for case in CASES.into_iter().filter(|case| case.before == Before::Nobody || case.reentrant) {
        explore(Plays::Anything, 0, |play| {
            prepare(play, case);
            let ended = section(play, case, Work::Nothing);
            assert!(matches!(ended, Ended::Ran(None)), "{case:?}: {ended:?}");
        });
    }
}

#[test]
fn a_lock_that_is_held_is_refused_by_its_holder() {
    let refused = |before, timeout, expected: fn(&NamedLockError) -> bool| {
        explore(Plays::Anything, 0, |play| {
            let case = Case { before, timeout, ..PLAIN };
            prepare(play, case);
            match section(play, case, Work::Panics) {
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
