//! Storms: threads and processes that contend for a lock, while servers, sessions, statements and processes are killed and stopped. A
//! checker reads the history: no two sections that were told `Ok` may overlap.
//!
//! `QUORUM_STORM=20000 cargo test --all-features --test quorum storm -- --nocapture` runs until so many sections were `Ok`.

mod checker;
mod checker_tests;
mod contender;
mod crew;
mod history;
mod report;
mod tormentor;
mod watch;

use std::{
    env,
    sync::{Arc, Mutex},
    thread::sleep,
    time::{Duration, Instant},
};

use diesel_named_lock::quorum::QuorumError;
use test_server::Server;
use testkit::world::{SOON, fresh, wait_until};

use self::{
    checker::{Bounds, Violation, check},
    contender::{IDLE_LIMIT, Scene},
    crew::Crew,
    history::{Event, Log, Outcome, Scratch, SectionId, Thread, now},
    report::Report,
    tormentor::Tormentor,
    watch::Watch,
};
use crate::stage::*;

/// Less than servers are stopped for.
const WITHIN: Duration = Duration::from_millis(300);

/// Other programs have the processors, too.
const LOAD: Duration = Duration::from_secs(5);

/// As `Quorum` promises.
const BOUNDS: Bounds = Bounds {
    acquire: WITHIN.saturating_mul(8).saturating_add(LOAD),
    release: WITHIN.saturating_mul(3).saturating_add(LOAD),
};

/// `QUORUM_STORM=20000` makes a long run.
fn ok_wanted() -> Option<usize> {
    env::var("QUORUM_STORM").ok().map(|count| count.parse().expect("a number of sections"))
}

#[test]
fn in_a_storm_no_two_sections_that_are_told_ok_overlap() {
    let long = ok_wanted();
    let report = storm(long.unwrap_or(150));
    println!("{report}");
    for violation in &report.verdict.violations {
        println!("{violation}");
    }
    assert_eq!(report.verdict.violations.len(), 0);
    assert!(report.was_a_storm, "no section was `Lost`, or there was no fault of some kind");
    if long.is_some() {
        assert!(report.killed_in_closure() > 0, "no client was killed in its closure");
        assert!(report.verdict.overlaps_if_lost_counts > 0, "a majority at the grant would have been enough");
    }
}

/// Until so many sections were `Ok`, one was `Lost`, and there was each fault; or until it is clear that there will be no such storm.
fn storm(ok: usize) -> Report {
    const PACE: Duration = Duration::from_millis(200);

    let servers = start_three();
    let server = format!("{:?} {}", servers[0].product(), servers[0].version());
    let scratch = Scratch::new();
    let scene = Scene {
        urls: urls(&servers).map(str::to_owned),
        name: fresh("storm"),
        history: scratch.path(),
        answer_within: WITHIN,
    };
    let servers = Arc::new(servers.map(Mutex::new));
    let (crew, start) = (Arc::new(Crew::start(&scene)), Instant::now());
    let mut watch = Watch::of(&scene.history);
    let mut tormentor = Tormentor::new(servers.clone(), scene.urls.clone(), scene.name.clone(), crew.clone());
    let mut shown = 0;
    while watch.ok < ok || (watch.ok < 20 * ok && (watch.lost == 0 || !tormentor.has_done_each())) {
        sleep(PACE.mul_f64(2.0 * fastrand::f64()));
        tormentor.strike();
        watch.look();
        if watch.ok >= shown + 1_000 {
            shown = watch.ok;
            println!("{shown} Ok after {:.0?}", start.elapsed());
        }
    }
    let was_a_storm = watch.lost > 0 && tormentor.has_done_each();
    let (time, faults) = (start.elapsed(), tormentor.finish());
    crew.stop();
    while !crew.has_stopped() {
        sleep(WITHIN);
        watch.look();
    }
    let crew = Arc::into_inner(crew).expect("nobody else has it");
    let quorums = crew.end();
    let ended = Instant::now();
    let servers: [Server; 3] =
        Arc::into_inner(servers).expect("nobody else has them").map(|server| server.into_inner().expect("no panic"));
    wait_until("the lock to be free on all nodes", || holders(&servers, &scene.name) == [None; 3]);
    let free_after = ended.elapsed();
    assert!(free_after < IDLE_LIMIT + LOAD, "it was held for {free_after:?}, by nobody");
    for quorum in &quorums {
        wait_until_all_nodes_are_used(quorum, &scene);
    }
    assert_free(&servers, &scene.name);
    watch.look();
    Report { server, time, faults, was_a_storm, verdict: check(&watch.events, BOUNDS), free_after }
}

/// Whatever a quorum has seen of its nodes, it finds out that they are back.
#[track_caller]
fn wait_until_all_nodes_are_used(quorum: &TestQuorum, scene: &Scene) {
    wait_until("all nodes to be used again", || {
        let guard = quorum.acquire(&scene.lock().timeout(SOON)).expect("nobody else wants it");
        let all = guard.nodes() == NAMES;
        guard.release().expect("nobody harms it");
        all
    });
}

/// A section that is told `Lost`, beside one that is told `Ok`: what nobody would know without the confirmation at the end.
#[test]
fn a_majority_at_the_grant_is_not_enough() {
    let (name, scratch) = (fresh("at_the_grant"), Scratch::new());
    let log = Log::open(&scratch.path()).unwrap();
    let [first, second] = [1, 2].map(|process| SectionId { of: Thread { process, thread: 0 }, number: 1 });
    let asked = |id| log.write(&Event::Asked { id, at: now(), timeout: SOON.as_nanos() as u64 });
    let began = |id| log.write(&Event::Began { id, at: now() });
    let ended = |id, over, outcome| log.write(&Event::Ended { id, at: now(), over: Some(over), outcome });
    let other = quorum();

    asked(first);
    let mut over = 0;
    let lost = quorum().run(&lock(&name), |_| {
        began(first);
        let held = holders(servers(), &name);
        for node in [0, 2] {
            kill_session(&servers()[node], held[node].expect("a holder"));
        }
        asked(second);
        let mut over_inside = 0;
        other.run(&lock(&name), |_| {
            began(second);
            over_inside = now();
            Ok::<_, QuorumError>(())
        })?;
        ended(second, over_inside, Outcome::Ok);
        over = now();
        Ok(())
    });
    assert!(matches!(lost, Err(QuorumError::Lost { .. })), "{lost:?}");
    ended(first, over, Outcome::Lost);

    let mut watch = Watch::of(&scratch.path());
    watch.look();
    let bounds = Bounds { acquire: SOON, release: SOON };
    let verdict = check(&watch.events, bounds);
    assert_eq!((verdict.violations, verdict.overlaps_if_lost_counts), (vec![], 1));
    let told_ok = |event: &Event| match *event {
        Event::Ended { id, at, over, .. } => Event::Ended { id, at, over, outcome: Outcome::Ok },
        ref event => event.clone(),
    };
    let mutant: Vec<_> = watch.events.iter().map(told_ok).collect();
    let violations = check(&mutant, bounds).violations;
    assert!(matches!(violations[..], [Violation::Overlap { .. }]), "{violations:?}");
    assert_free(servers(), &name);
}
