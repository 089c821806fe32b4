//! Several machines.

use std::time::Duration;

use diesel_named_lock::job::JobState;

use crate::{
    database::*,
    machine::{Machine, be_a_machine},
    world::*,
};

const WORK: Duration = Duration::from_millis(100);

/// A process that [`Machine::start`] started runs this test to be a machine.
#[test]
fn a_machine_alone_runs_its_job() {
    if be_a_machine().is_some() {
        return;
    }
    let (database, job) = (Database::with_ledger(), job("alone"));
    let mut machine = Machine::start(&database, &job, WORK);
    machine.fire();
    assert_eq!([machine.hear(), machine.hear()], ["working", "ran"]);
}

#[test]
fn of_three_machines_that_fire_at_the_same_moment_one_runs_the_job() {
    let (database, job) = (Database::with_ledger(), job("three"));
    let mut machines: Vec<_> = (0..3).map(|_| Machine::start(&database, &job, WORK)).collect();
    machines.iter_mut().for_each(Machine::fire);
    let mut said: Vec<_> = machines.iter_mut().map(Machine::hear).collect();
    said.sort();
    assert!(said[2] == "working" && said[..2].iter().all(|said| said != "working"), "{said:?}");
    wait_until("the job to end", || matches!(database.status(&job).state, JobState::Succeeded { .. }));
    assert_eq!(database.status(&job).runs, 1);
}

/// Where mutual exclusion alone would run it three times.
#[test]
fn of_three_machines_that_fire_one_after_the_other_one_runs_the_job() {
    let (database, job) = (Database::with_ledger(), job("in_turn"));
    let mut machines: Vec<_> = (0..3).map(|_| Machine::start(&database, &job, Duration::ZERO)).collect();
    let mut said = Vec::new();
    for machine in &mut machines {
        machine.fire();
        said.push(machine.hear());
        if said.len() == 1 {
            said.push(machine.hear());
        }
    }
    assert_eq!(said, ["working", "ran", "not due", "not due"]);
    assert_eq!(database.status(&job).runs, 1);
}

#[test]
fn a_run_whose_process_is_killed_shows_as_abandoned_and_is_due_at_once() {
    let (database, job) = (Database::with_ledger(), job("killed"));
    let mut machine = Machine::start(&database, &job, SOON);
    machine.fire();
    assert_eq!(machine.hear(), "working");
    let mut other = Machine::start(&database, &job, Duration::ZERO);
    assert_eq!(database.status(&job).state, JobState::Running);

    let process_id = machine.kill();
    wait_until("the lock to be free", || holder(job.name().as_str()).is_none());
    let status = database.status(&job);
    assert_eq!((status.state, status.process_id), (JobState::Abandoned, process_id));

    other.fire();
    assert_eq!([other.hear(), other.hear()], ["working", "ran"]);
    assert_eq!(database.status(&job).runs, 2);
}
