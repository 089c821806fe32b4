//! Peers in Python: a process each, which times its batches itself.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
    time::Duration,
};

use crate::contenders::Contender;

/// `peer` is one that `python/section.py` knows. `PEERS_PYTHON` is the Python that has them.
#[expect(clippy::zombie_processes, reason = "it ends when its standard input does: at the latest with us")]
pub fn contender(peer: &str, batch: u64, socket: &str) -> Contender {
    let python = env::var("PEERS_PYTHON").expect("PEERS_PYTHON, as benches/run sets it");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/python/section.py");
    let mut child = Command::new(python)
        .args([script, peer, socket])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python");
    let mut questions = child.stdin.take().expect("a pipe");
    let mut answers = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut answer = move || answers.next().expect("an answer (Python has ended)").expect("a line");

    let title = answer().leak();
    let sections = move |count| {
        writeln!(questions, "{count}").expect("Python to listen");
        Duration::from_nanos(answer().parse().expect("nanoseconds"))
    };
    Contender { title, batch, sections: Box::new(sections) }
}
