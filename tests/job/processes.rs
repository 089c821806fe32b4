//! Several machines.

use std::time::Duration;

use diesel_named_lock::job::JobState;

use testkit::{child::Child, world::*};

use crate::{
    database::*,
    machine::{be_a_machine, go_in_turn, machine},
};

const WORK: Duration = Duration::from_millis(100);

/// A process that [`machine`] started runs this test to be a machine.
#[test]
fn a_machine_alone_runs_its_job() {
    if be_a_machine().is_some() {
        return;
    }
    let (database, job) = (database_with_ledger(), job("alone"));
    let mut machine = machine(&database, &job, WORK);
    machine.go();
    assert_eq!([machine.hear(), machine.hear()], ["working", "ran"]);
}

#[test]
fn of_three_machines_that_fire_at_the_same_moment_one_runs_the_job() {
    let (database, job) = (database_with_ledger(), job("three"));
    let mut machines: Vec<_> = (0..3).map(|_| machine(&database, &job, WORK)).collect();
    machines.iter_mut().for_each(Child::go);
    let mut said: Vec<_> = machines.iter_mut().map(Child::hear).collect();
    said.sort();
    assert!(said[2] == "working" && said[..2].iter().all(|said| said != "working"), "{said:?}");
    wait_until("the job to end", || matches!(database.status(&job).state, JobState::Succeeded { .. }));
    assert_eq!(database.status(&job).runs, 1);
}

/// Mutual exclusion alone would run it three times here.
#[test]
fn of_three_machines_that_fire_one_after_the_other_one_runs_the_job() {
    let (database, job) = (database_with_ledger(), job("in_turn"));
    let mut machines: Vec<_> = (0..3).map(|_| machine(&database, &job, Duration::ZERO)).collect();
    assert_eq!(go_in_turn(&mut machines), ["working", "ran", "not due", "not due"]);
    assert_eq!(database.status(&job).runs, 1);
}

#[test]
fn a_run_whose_process_is_killed_shows_as_abandoned_and_is_due_at_once() {
    let (database, job) = (database_with_ledger(), job("killed"));
    let mut first = machine(&database, &job, SOON);
    first.go();
    assert_eq!(first.hear(), "working");
    let mut other = machine(&database, &job, Duration::ZERO);
    assert_eq!(database.status(&job).state, JobState::Running);

    let process_id = first.id();
    first.kill();
    wait_until("the lock to be free", || holder(job.name().as_str()).is_none());
    let status = database.status(&job);
    assert_eq!((status.state, status.process_id), (JobState::Abandoned, process_id));

    other.go();
    assert_eq!([other.hear(), other.hear()], ["working", "ran"]);
    assert_eq!(database.status(&job).runs, 2);
}
