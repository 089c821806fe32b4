//! The fault matrix: what a section promises, under every fault that we can make happen to it, on real servers.
//!
//! Each scenario declares what its caller is to see, how soon the lock is free for somebody else, and what the
//! pool serves afterwards. Always besides: no value or error of the work is lost, and a bystander's session is unharmed.
//! `cargo test --test faults --all-features [PART OF A NAME]` ends with one report; `TEST_SERVER` names the server.

mod async_room;
mod client;
mod connection;
mod deadlock;
mod guards;
mod hand_off;
mod killed;
mod limits;
mod lock;
mod network;
mod nonblocking;
mod panics;
mod perform;
mod permits;
mod pools;
mod race;
mod report;
mod scenario;
mod server;
mod servers;
mod sql;
mod stage;
mod started;
mod witness;

use std::sync::Arc;

use libtest_mimic::{Arguments, Trial};
use scenario::Scenario;

/// Most scenarios wait for something most of the time.
const THREADS: usize = 4;

fn main() {
    if let Some(arguments) = testkit::child::arguments() {
        return match arguments.get(2).map(String::as_str) {
            Some(guards::CHILD) => guards::main(&arguments),
            Some(started::CHILD) => started::main(&arguments),
            _ => client::main(&arguments),
        };
    }
    perform::silence_panics_on_purpose();
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(THREADS);

    let report = Arc::default();
    let trials = scenarios().into_iter().map(|scenario| {
        let report = Arc::clone(&report);
        Trial::test(scenario.name, move || perform::perform(&scenario, &report).map_err(Into::into))
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    report::print(&report);
    conclusion.exit()
}

fn scenarios() -> Vec<Scenario> {
    [
        // These take longest, so they come first.
        guards::scenarios(),
        server::scenarios(),
        network::scenarios(),
        nonblocking::scenarios(),
        permits::scenarios(),
        limits::scenarios(),
        killed::scenarios(),
        client::scenarios(),
        started::scenarios(),
        deadlock::scenarios(),
        panics::scenarios(),
        connection::scenarios(),
        pools::scenarios(),
        hand_off::scenarios(),
    ]
    .concat()
}
