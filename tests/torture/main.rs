//! Several processes run thousands of sections over a few locks, permits, and a lock that is shared or exclusive, many of
//! them through a `NamedLockPool` or by guards, blocking ones and async ones, and lead in turn, while a tormentor kills their
//! statements, their sessions and themselves, and futures are dropped. A checker reads the history and says whether a promise
//! was broken.
//!
//! `cargo test --test torture --all-features` takes a quarter of a minute, with `-- --long` some minutes. `--seed`
//! repeats a run's faults: which, in which order and at which distance. (What each of them meets depends on the machine.)
//!
//! The checker is tested, too: it has to find what is wrong with lockings that are wrong.

use std::{
    process::ExitCode,
    sync::OnceLock,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use clap::Parser;
use libtest_mimic::{Failed, Trial};
use test_server::{Product, Server};

use crate::{
    locking::Locking,
    run::{Settings, run},
    schedule::Means,
    violation::Kind,
    worker::Orders,
};

mod by_hand;
mod checker;
mod checker_tests;
mod control;
mod crew;
mod guards;
mod healthy;
mod history;
mod leaders;
mod leaks;
mod locking;
mod look;
mod manager;
mod message;
mod performer;
mod report;
mod run;
mod schedule;
mod semaphore;
mod subject;
mod tables;
mod tasks;
mod tormentor;
mod violation;
mod witness;
mod worker;
mod workload;

/// The first argument of a worker process.
const WORKER: &str = "--worker";

#[derive(Parser)]
struct Options {
    /// 100,000 sections and 5,000 faults
    #[arg(long)]
    long: bool,

    /// Repeat the faults of the run that printed this seed
    #[arg(long)]
    seed: Option<u64>,

    #[command(flatten)]
    test: libtest_mimic::Arguments,
}

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(WORKER) {
        worker::run(&Orders::parse_from(std::env::args().skip(1)));
        return ExitCode::SUCCESS;
    }
    let Options { long, seed, mut test } = Options::parse();
    let seed = seed.unwrap_or_else(seed_of_now);
    if !test.list {
        println!("seed {seed}");
    }
    // They share a server, and hurt it.
    test.test_threads = Some(1);
    let wrong = |name, locking, kind| Trial::test(name, move || finds(locking, kind, seed));
    let mut trials = vec![
        Trial::test("torture", move || torture(seed, long)),
        Trial::test("checker_finds_nothing_wrong_where_nothing_is", move || finds_nothing(seed)),
        wrong("checker_finds_a_skipped_release", Locking::ReleaseSkipped, Kind::Leak),
        wrong("checker_finds_a_release_before_the_commit", Locking::ReleasedBeforeCommit, Kind::LostUpdate),
        wrong("checker_finds_errors_taken_for_not_held", Locking::ErrorsTakenForNotHeld, Kind::Leak),
        wrong("checker_finds_a_session_killed_after_one_strike", Locking::KilledWhenStruck, Kind::HealthyKilled),
        wrong("checker_finds_ignored_answers", Locking::AnswersIgnored, Kind::Overlap),
        wrong("checker_finds_one_permit_too_many", Locking::OnePermitTooMany, Kind::Overlap),
        wrong("checker_finds_a_turnstile_that_is_kept", Locking::TurnstileKept, Kind::Leak),
        wrong("checker_finds_an_exclusive_section_beside_a_shared_one", Locking::ExclusiveBesideShared, Kind::Overlap),
    ];
    trials.extend(checker_tests::trials());
    libtest_mimic::run(&test, trials).exit_code()
}

fn torture(seed: u64, long: bool) -> Result<(), Failed> {
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    let (sections, faults, pace, limit) = match long {
        true => (100_000, 5_000, Duration::from_millis(50), minutes(30)),
        false => (4_000, 400, Duration::from_millis(20), minutes(3)),
    };
    let settings = Settings { sections, faults, pace, limit, tasks: 2, leaders: 1, ..common(Locking::Ours, seed) };
    let summary = run(server(), &settings).map_err(|error| error.to_string())?;
    summary.print(server());
    summary.print_violations();
    match summary.violations.len() {
        0 => Ok(()),
        count => Err(format!("{count} violations; repeat with `--seed {seed}`").into()),
    }
}

/// Without it, the others might find a mistake of the workload.
fn finds_nothing(seed: u64) -> Result<(), Failed> {
    let settings = Settings { sections: 1_000, ..quick(Locking::ByHand, seed) };
    let summary = run(server(), &settings).map_err(|error| error.to_string())?;
    summary.print_violations();
    match summary.violations.len() {
        0 => Ok(()),
        count => Err(format!("{count} violations where there can be none, with `--seed {seed}`").into()),
    }
}

/// Runs the same workload with a locking that is wrong.
fn finds(locking: Locking, kind: Kind, seed: u64) -> Result<(), Failed> {
    const ATTEMPTS: u64 = 5;

    let (means, sections) = match locking {
        Locking::ErrorsTakenForNotHeld | Locking::KilledWhenStruck => (Means::Queries, 5_000),
        locking if locking.is_of_permits() => (Means::None, 500),
        _ => (Means::None, 1_000),
    };
    for seed in (0..ATTEMPTS).map(|attempt| seed.wrapping_add(attempt)) {
        let settings = Settings { means, sections, ..quick(locking, seed) };
        let summary = run(server(), &settings).map_err(|error| error.to_string())?;
        if summary.has(kind) {
            let one = summary.violations.iter().find(|violation| violation.kind == kind);
            one.into_iter().for_each(|one| println!("seed {seed}, {:.1?}: {one}", summary.time));
            return Ok(());
        }
        summary.print(server());
    }
    Err(format!("no {kind:?} was found in {ATTEMPTS} runs from seed {seed} on").into())
}

/// Soon over, without faults.
fn quick(locking: Locking, seed: u64) -> Settings {
    Settings {
        means: Means::None,
        pace: Duration::from_millis(5),
        checkpoint: 60,
        hasty: true,
        leak: Duration::from_secs(1),
        ..common(locking, seed)
    }
}

fn common(locking: Locking, seed: u64) -> Settings {
    Settings {
        locking,
        seed,
        processes: 4,
        threads: 4,
        tasks: 0,
        leaders: 0,
        connections: 3,
        sections: 0,
        faults: 0,
        means: Means::All,
        pace: Duration::ZERO,
        checkpoint: 100,
        hasty: false,
        leak: Duration::from_secs(5),
        limit: Duration::from_secs(60),
    }
}

/// One of our own, for it is stopped, and its sessions are killed.
fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| Server::start(Product::wanted()).unwrap_or_else(|error| panic!("{error}")))
}

fn seed_of_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_micros() as u64)
}
