//! The client process killed with `kill -9`: this very program, started again as a client.

use std::{io::Read, os::unix::process::ExitStatusExt, time::Instant};

use testkit::child::{self, Child};

use crate::{
    lock::Kind,
    scenario::{Outcome::*, SOON, Scenario, scenario},
    sql::{PATIENCE, connect, id},
    stage::{Stage, Work},
};

const SIGKILL: i32 = 9;

pub fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("client_killed_while_holding", client_killed_while_holding, &[ProcessKilled])
            .free_within(SOON)
            .since("the kill"),
        // The server may grant the lock to a session whose end it has not noticed, and then does.
        scenario("client_killed_while_waiting", client_killed_while_waiting, &[ProcessKilled])
            .free_within(SOON)
            .since("the holder's release"),
    ]
}

/// In a child: says its connection id, then that it holds the lock, then holds it for as long as somebody holds its standard
/// input.
pub fn main(arguments: &[String]) {
    let mut conn = connect(&arguments[0]);
    child::say(id(&mut conn));
    let kind = arguments.get(2).and_then(|word| Kind::from_word(word)).expect("what to lock");
    let lock = kind.lock(&arguments[1]).timeout(PATIENCE);
    let outcome: Work = lock.run(&mut conn, |_| {
        child::say("holding");
        let _ = std::io::stdin().read(&mut [0]);
        Result::Ok(())
    });
    outcome.expect("a section");
}

/// A client, and its connection id.
pub fn start(stage: &Stage) -> (Child, u64) {
    let mut client = Child::start(&[stage.server.url(), &stage.name, &stage.kind.word()], &[]);
    let id = client.hear().parse().expect("a connection id");
    (client, id)
}

pub fn kill(client: Child, stage: &Stage) {
    let status = client.kill();
    stage.check(status.signal() == Some(SIGKILL), &format!("the client ended with {status}"));
    stage.saw(ProcessKilled);
}

pub fn client_killed_while_holding(stage: &Stage) {
    for _ in 0..10 {
        let (mut client, own) = start(stage);
        assert_eq!(client.hear(), "holding");
        assert_eq!(stage.holder(), Some(own));
        let killed = Instant::now();
        kill(client, stage);
        stage.free_since(killed);
    }
}

fn client_killed_while_waiting(stage: &Stage) {
    for _ in 0..10 {
        let rival = stage.rival();
        let (client, own) = start(stage);
        stage.until_waiting(own);
        kill(client, stage);
        stage.free_after(rival);
    }
}
