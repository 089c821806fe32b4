//! Ways to have a section, ours and others', measured side by side. `benches/run` starts it and puts into the docs what it
//! prints.
//!
//! `peers CASE` prints a line of JSON for each figure; `TEST_SERVER` names the server, as for the tests. `peers quiet` says
//! whether others leave the machine alone. `peers repeat CONTENDER COUNT` is the client that the case `instructions` puts under
//! valgrind, `peers share URL` one of the two of the case `processes`.

use std::{env, process::ExitCode, thread, time::Duration};

use figure::Figure;

#[path = "../../section/c_client.rs"]
mod c_client;
mod callgrind;
#[path = "../../section/contenders.rs"]
mod contenders;
mod cpu;
mod distributed_lock;
mod figure;
mod instructions;
mod nonblocking;
mod permits;
#[path = "../../section/pin.rs"]
mod pin;
mod processes;
mod python;
mod quorum;
mod round_trips;
#[path = "../../section/rounds.rs"]
mod rounds;
mod scale;
mod section;
mod several;
mod slow_network;
mod threads;

/// Each is run in a process of its own, so that one may be pinned and another not.
const CASES: [Case; 10] = [
    ("section", section::measure),
    ("instructions", instructions::measure),
    ("round-trips", round_trips::measure),
    ("several", several::measure),
    ("threads", threads::measure),
    ("network", threads::measure_on_a_slow_network),
    ("processes", processes::measure),
    ("permits", permits::measure),
    ("quorum", quorum::measure),
    ("scale", scale::measure),
];

/// Those whose figures are the same on a busy machine.
const COUNTED: [&str; 2] = ["instructions", "round-trips"];

type Case = (&'static str, fn() -> Vec<Figure>);

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["quiet"] => return quiet(),
        ["repeat", title, count] => instructions::repeat(title, count.parse().expect("a number of sections")),
        ["share", url] => processes::share(url),
        [wanted] => run(wanted),
        _ => panic!("which case? {:?}", CASES.map(|(name, _)| name)),
    }
    ExitCode::SUCCESS
}

fn run(wanted: &str) {
    let case = CASES.iter().find(|(name, _)| *name == wanted);
    let (name, measure) = case.unwrap_or_else(|| panic!("no case {wanted}: {:?}", CASES.map(|(name, _)| name)));
    let watch = cpu::Watch::start();
    for figure in measure() {
        println!("{}", serde_json::to_string(&figure).expect("a line of JSON"));
    }
    if !COUNTED.contains(name) {
        println!("{}", serde_json::to_string(&watch.others()).expect("a line of JSON"));
    }
}

/// Whether it is worth while to begin.
fn quiet() -> ExitCode {
    let watch = cpu::Watch::start();
    thread::sleep(Duration::from_secs(3));
    let cpu::Others { others, limit } = watch.others();
    if others <= limit {
        return ExitCode::SUCCESS;
    }
    eprintln!(
        "This machine is too busy to be believed: others use {others:.2} CPUs, and may use {limit}. Try again later."
    );
    ExitCode::FAILURE
}
