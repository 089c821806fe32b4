//! A machine: another process, which runs a job when it is told to.

use std::{thread, time::Duration};

use diesel::{MysqlConnection, prelude::*};
use diesel_named_lock::job::{JobError, JobOutcome, SingletonJob};
use testkit::child::{self, Child};

use crate::database::*;

/// Starts one that is connected, and ready to go. It will run the job hourly, with work that lasts so long.
pub fn machine(database: &Database, job: &SingletonJob, work: Duration) -> Child {
    machine_at(&database.url, job, work)
}

pub fn machine_at(url: &str, job: &SingletonJob, work: Duration) -> Child {
    let arguments = [url, job.name().as_str(), &work.as_millis().to_string()];
    let mut machine = Child::start(&arguments, &["--exact", "processes::a_machine_alone_runs_its_job", "--nocapture"]);
    assert_eq!(machine.hear(), "ready");
    machine
}

/// Lets them continue one after the other, and returns their outcomes. The first one runs the job.
pub fn go_in_turn(machines: &mut [Child]) -> Vec<String> {
    let mut said = Vec::new();
    for machine in machines {
        machine.go();
        said.push(machine.hear());
        if said.len() == 1 {
            said.push(machine.hear());
        }
    }
    said
}

/// The part of a machine, if this process is one.
pub fn be_a_machine() -> Option<()> {
    let arguments = child::arguments()?;
    let [url, name, work] = &arguments[..] else { panic!("three arguments: {arguments:?}") };
    let work = Duration::from_millis(work.parse().expect("a number"));
    let mut conn = MysqlConnection::establish(url).expect("a connection");
    let job = SingletonJob::new(name).expect("a valid name").at_most_every(HOUR);
    child::say("ready");
    child::go();
    let outcome = job.run(&mut conn, |_| {
        child::say("working");
        thread::sleep(work);
        Ok::<_, JobError>(())
    });
    let said = match outcome.expect("an outcome") {
        JobOutcome::Ran(()) => "ran",
        JobOutcome::Busy(_) => "busy",
        JobOutcome::NotDue { .. } => "not due",
    };
    child::say(said);
    Some(())
}
