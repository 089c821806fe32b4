//! One run: workers, a tormentor, checkpoints, and the checker at the end.

use std::{
    error::Error,
    mem, thread,
    time::{Duration, Instant},
};

use diesel::{MysqlConnection, prelude::*};
use test_server::Server;

use crate::{
    checker,
    crew::Crew,
    history::History,
    leaks,
    locking::Locking,
    report::Summary,
    schedule::{Aim, Means, Schedule},
    tables,
    tormentor::Tormentor,
    violation::{Kind, Violation},
    worker::Orders,
};

/// In a long run, shows that it makes progress.
const SIGN_OF_LIFE: u32 = 1_000;

#[derive(Debug, Clone)]
pub struct Settings {
    pub locking: Locking,
    pub seed: u64,
    pub processes: u8,
    pub threads: u8,
    /// Besides, in each process: tasks of an async runtime, whose sections are dropped now and then.
    pub tasks: u8,
    /// And so many threads that campaign to lead.
    pub leaders: u8,
    /// In each process's pool.
    pub connections: u32,
    /// It ends when so many sections came to run, and there have been so many faults.
    pub sections: usize,
    pub faults: usize,
    pub means: Means,
    /// The mean time between two faults.
    pub pace: Duration,
    /// From one checkpoint to the next, in faults (or, without a tormentor, in the time of so many).
    pub checkpoint: u32,
    pub hasty: bool,
    /// A lock that is held for so long while no section runs, has leaked.
    pub leak: Duration,
    /// Well before that it has come to an end.
    pub limit: Duration,
}

pub fn run(server: &Server, settings: &Settings) -> Result<Summary, Box<dyn Error>> {
    let start = Instant::now();
    let mut conn = MysqlConnection::establish(server.url())?;
    tables::create(&mut conn)?;
    let pid = server.pid().ok_or("the server is not ours to hurt")?;
    let mut tormentor = Tormentor::new(conn, pid);
    let mut crew = Crew::start((0..settings.processes).map(|process| orders(server, settings, process)))?;

    torment(settings, &mut tormentor, &mut crew)?;
    // If something was found, workers may be gone or hang.
    if crew.violations.is_empty() {
        checkpoint(settings, &mut tormentor, &mut crew)?;
    }
    let hand_offs = crew.hand_offs;
    crew.end();

    let history = History {
        reports: mem::take(&mut crew.reports),
        found: mem::take(&mut crew.violations),
        killed: mem::take(&mut crew.killed),
        gone: mem::take(&mut crew.gone),
        given_up: mem::take(&mut crew.given_up),
        struck: tormentor.struck,
        ended: tormentor.ended,
        kills: tormentor.kills,
        ..tables::load(&mut tormentor.conn)?
    };
    let violations = checker::check(&history);
    Ok(Summary {
        settings: settings.clone(),
        history,
        faults: tormentor.done,
        hand_offs,
        violations,
        time: start.elapsed(),
    })
}

/// The processes differ in how they come to their connections.
fn orders(server: &Server, settings: &Settings, process: u8) -> Orders {
    let url = if process % 2 == 0 { server.url() } else { server.tcp_url() };
    let in_turn = match (settings.locking, process % 4) {
        (Locking::Ours, 1 | 2) => settings.threads,
        (Locking::Ours, 3) => settings.threads / 2,
        _ => 0,
    };
    Orders {
        url: url.to_owned(),
        tcp_url: server.tcp_url().to_owned(),
        seed: settings.seed,
        process,
        life: 0,
        threads: settings.threads,
        tasks: settings.tasks,
        leaders: settings.leaders,
        connections: settings.connections,
        in_turn,
        untested: process % 3 == 2,
        locking: settings.locking,
        hasty: settings.hasty,
    }
}

/// Until there was enough of everything, or something was found.
fn torment(settings: &Settings, tormentor: &mut Tormentor, crew: &mut Crew) -> Result<(), Box<dyn Error>> {
    let start = Instant::now();
    let mut schedule = Schedule::new(settings.seed, settings.means, settings.pace);
    for count in 1.. {
        let planned = schedule.next_fault();
        thread::sleep(planned.after);
        if settings.means != Means::None {
            tormentor.strike(planned, crew)?;
        }
        crew.listen();
        if count % settings.checkpoint == 0 && crew.violations.is_empty() && checkpoint(settings, tormentor, crew)? {
            crew.go_on();
        }
        if count % SIGN_OF_LIFE == 0 {
            eprintln!("{count} faults, {} sections so far", crew.ran);
        }
        let enough = crew.ran >= settings.sections && tormentor.done() >= settings.faults;
        if enough || !crew.violations.is_empty() {
            break;
        }
        if start.elapsed() > settings.limit {
            let what = format!("after {:?}, only {} sections came to run", settings.limit, crew.ran);
            crew.violations.push(Violation::new(Kind::NeverWoken, what));
        }
    }
    Ok(())
}

/// Whether every worker paused, and no lock was held then. All connections are in their pools.
fn checkpoint(settings: &Settings, tormentor: &mut Tormentor, crew: &mut Crew) -> Result<bool, Box<dyn Error>> {
    if !crew.pause() {
        return Ok(false);
    }
    // Known before the look, so that one which has only just begun is not missed.
    crew.listen();
    crew.miss(&tormentor.sessions(Aim::Any, 0)?);
    let leaks = leaks::look(&mut tormentor.conn, settings.leak)?;
    let none = leaks.is_empty();
    crew.violations.extend(leaks);
    Ok(none)
}
