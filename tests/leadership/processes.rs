//! Candidates that are processes of their own: killed with `kill -9`, and stopped.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use testkit::{
    child::{self, Child},
    world::*,
};

use crate::stage::*;

testkit::trials![
    a_leader_that_is_killed_is_followed_by_another_process,
    a_leader_that_was_stopped_knows_at_once_that_it_leads_no_more,
];

/// In a child: prints its session, and when it leads. When told to continue, prints whether it still leads, and resigns.
pub fn main(arguments: &[String]) {
    let leader = telling(&arguments[0], &arguments[1], child::say).campaign(SOON).expect("to lead");
    child::say("leads");
    child::go();
    child::say(leader.is_leader());
    child::say(leader.stepped_down(Duration::ZERO));
    child::say(leader.resign().is_ok());
}

/// With its session.
fn start(name: &str) -> (Child, u64) {
    let mut candidate = Child::start(&[server().url(), name], &[]);
    let session = candidate.hear().parse().expect("a connection id");
    (candidate, session)
}

fn resign(mut leader: Child) {
    leader.go();
    assert_eq!([leader.hear(), leader.hear(), leader.hear()], ["true", "false", "true"]);
    assert!(leader.wait().success());
}

fn a_leader_that_is_killed_is_followed_by_another_process() {
    let name = fresh("process_killed");
    let (mut leader, _) = start(&name);
    assert_eq!(leader.hear(), "leads");
    for _ in 0..3 {
        let (mut next, session) = start(&name);
        wait_until_waiting(session);
        leader.kill();
        assert_eq!(next.hear(), "leads");
        leader = next;
    }
    resign(leader);
    assert_free(&name);
}

fn a_leader_that_was_stopped_knows_at_once_that_it_leads_no_more() {
    let name = fresh("process_stopped");
    let (mut stopped, _) = start(&name);
    assert_eq!(stopped.hear(), "leads");
    let process = Pid::from_raw(stopped.id() as i32).expect("a process");
    kill_process(process, Signal::STOP).unwrap();
    let (mut next, _) = start(&name);
    assert_eq!(next.hear(), "leads");
    // It finds what to do when it runs again.
    stopped.go();
    kill_process(process, Signal::CONT).unwrap();
    assert_eq!([stopped.hear(), stopped.hear(), stopped.hear()], ["false", "true", "false"]);
    assert!(stopped.wait().success());
    resign(next);
    assert_free(&name);
}
