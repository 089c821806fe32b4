//! Ways to have a section, ours and others', measured side by side. `benches/run` starts it and puts into the docs what it
//! prints.
//!
//! `peers CASE` prints a line of JSON for each figure; `TEST_SERVER` names the server, as for the tests. `peers repeat
//! CONTENDER COUNT` is the client that the case `instructions` puts under valgrind, `peers share URL` one of the two
//! of the case `processes`.

use std::env;

use figure::Figure;

#[path = "../../section/c_client.rs"]
mod c_client;
mod callgrind;
#[path = "../../section/contenders.rs"]
mod contenders;
mod distributed_lock;
mod figure;
mod instructions;
mod nonblocking;
#[path = "../../section/pin.rs"]
mod pin;
mod processes;
mod python;
#[path = "../../section/rounds.rs"]
mod rounds;
mod section;
mod threads;

/// Each is run in a process of its own, so that one may be pinned and another not.
const CASES: [Case; 4] = [
    ("section", section::measure),
    ("instructions", instructions::measure),
    ("threads", threads::measure),
    ("processes", processes::measure),
];

type Case = (&'static str, fn() -> Vec<Figure>);

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [repeat, title, count] = &arguments[..]
        && repeat == "repeat"
    {
        return instructions::repeat(title, count.parse().expect("a number of sections"));
    }
    if let [share, url] = &arguments[..]
        && share == "share"
    {
        return processes::share(url);
    }
    let wanted = CASES.iter().find(|(name, _)| arguments == [*name]);
    let (_, measure) = wanted.unwrap_or_else(|| panic!("which case? {:?}", CASES.map(|(name, _)| name)));
    for figure in measure() {
        println!("{}", serde_json::to_string(&figure).expect("a line of JSON"));
    }
}
