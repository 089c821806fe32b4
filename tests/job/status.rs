//! The state of a job, read without running it.

use diesel::{
    Connection,
    connection::{InstrumentationEvent, SimpleConnection},
};
use diesel_named_lock::job::{JobError, JobOutcome, JobState};

use testkit::world::*;

use crate::database::*;

#[test]
fn of_a_job_that_never_ran_there_is_none() {
    let database = database_with_ledger();
    let job = job("never").at_most_every(HOUR);
    assert_eq!(job.status(&mut database.connect()).unwrap(), None);
    assert_eq!(job.once_for(1).status(&mut database.connect()).unwrap(), None);
}

#[test]
fn a_run_is_on_record_before_its_work_begins_with_who_runs_it() {
    let database = database_with_ledger();
    let (mut conn, job) = (database.connect(), job("running").at_most_every(HOUR));
    let own = id(&mut conn);
    let inside = job.run(&mut conn, |_| Ok::<_, JobError>(database.status(&job)));
    let JobOutcome::Ran(status) = inside.unwrap() else { panic!("it never ran") };
    assert_eq!(status.state, JobState::Running);
    assert_eq!((status.runs, status.process_id, status.connection_id.get()), (1, std::process::id(), own));
    assert_eq!(status.host, gethostname::gethostname().to_string_lossy());
}

#[test]
fn the_end_of_a_run_is_on_record_and_not_before_its_start() {
    let database = database_with_ledger();
    let (mut conn, job) = (database.connect(), job("ended").at_most_every(HOUR));
    let start = set_clock(&mut conn, HOUR);
    let mut end = start;
    let work = |conn: &mut _| {
        end = set_clock(conn, HOUR * 2);
        Ok::<_, JobError>(())
    };
    assert_eq!(job.run(&mut conn, work).unwrap(), RAN);
    let status = database.status(&job);
    let JobState::Succeeded { ended, .. } = status.state else { panic!("{status:?}") };
    assert_eq!((status.started, ended), (start, end));
}

#[test]
fn a_run_that_succeeds_after_one_that_failed_has_no_error() {
    let database = database_with_ledger();
    let (mut conn, job) = (database.connect(), job("recovers").at_most_every(HOUR));
    fail(&job, &mut conn);
    let errors = "SELECT COUNT(error) AS number FROM named_lock_ledger";
    let inside = job.run(&mut conn, |conn| Ok::<_, JobError>((database.status(&job).state, number(conn, errors))));
    assert_eq!(inside.unwrap(), JobOutcome::Ran((JobState::Running, Some(0))));
    let status = database.status(&job);
    assert!(matches!(status.state, JobState::Succeeded { .. }), "{status:?}");
    assert_eq!(status.runs, 2);
}

#[test]
fn without_a_key_it_is_that_of_the_last_run_for_any_key() {
    let database = database_with_ledger();
    let (mut conn, job) = (database.connect(), job("any"));
    assert_eq!(run(&job.clone().once_for("a"), &mut conn).unwrap(), RAN);
    fail(&job.clone().once_for("b"), &mut conn);
    let any = database.status(&job);
    assert!(matches!(any.state, JobState::Failed { .. }), "{any:?}");
    assert_eq!(any.runs, 2);
    let a = database.status(&job.once_for("a"));
    assert!(matches!(a.state, JobState::Succeeded { .. }), "{a:?}");
    assert_eq!(a.runs, 1);
}

/// As one does that looks whether the job is due.
#[test]
fn an_abandoned_run_is_none_that_runs_while_another_session_holds_the_lock() {
    let database = database_with_ledger();
    let job = job("looking").at_most_every(HOUR);
    abandon(&job, &database);
    let elsewhere = hold_elsewhere(job.name().as_str());
    assert_eq!(database.status(&job).state, JobState::Abandoned);
    drop(elsewhere);
}

/// Here between two looks; on a server also within one, since the row is older than what is said of the lock.
#[test]
fn a_run_that_ends_while_its_state_is_read_is_not_called_abandoned() {
    let database = database_with_ledger();
    let job = job("ends").at_most_every(HOUR);
    abandon(&job, &database);
    let (mut conn, mut other) = (database.connect(), database.connect());
    conn.set_instrumentation(move |event: InstrumentationEvent<'_>| {
        if matches!(event, InstrumentationEvent::FinishQuery { .. }) {
            other.batch_execute("UPDATE named_lock_ledger SET ended_at = UTC_TIMESTAMP(6)").unwrap();
        }
    });
    let status = job.status(&mut conn).unwrap().unwrap();
    assert!(matches!(status.state, JobState::Succeeded { .. }), "{status:?}");
}
