//! When a job runs, and when it does not.

use std::time::Duration;

use diesel_named_lock::job::{JobError, JobOutcome};

use testkit::world::*;

use crate::database::*;

const MICROSECOND: Duration = Duration::from_micros(1);

#[test]
fn a_job_that_never_ran_runs_and_gives_the_value_of_its_work() {
    let database = database_with_ledger();
    let mut conn = database.connect();
    let outcome = job("first").at_most_every(HOUR).run(&mut conn, |conn| Ok::<_, JobError>(id(conn)));
    assert_eq!(outcome.unwrap(), JobOutcome::Ran(id(&mut conn)));
}

#[test]
fn the_next_run_is_due_when_the_interval_is_over_to_the_microsecond() {
    let database = database_with_ledger();
    let (mut conn, job) = (database.connect(), job("interval").at_most_every(HOUR));
    let start = set_clock(&mut conn, MICROSECOND * 7);
    assert_eq!(run(&job, &mut conn).unwrap(), RAN);
    set_clock(&mut conn, HOUR + MICROSECOND * 6);
    assert_eq!(run(&job, &mut conn).unwrap(), not_before(start + HOUR));
    set_clock(&mut conn, HOUR + MICROSECOND * 7);
    assert_eq!(run(&job, &mut conn).unwrap(), RAN);
}

#[test]
fn the_interval_counts_from_start_to_start() {
    let database = database_with_ledger();
    let (mut conn, job) = (database.connect(), job("start").at_most_every(HOUR));
    let start = set_clock(&mut conn, Duration::ZERO);
    let work = |conn: &mut _| {
        set_clock(conn, HOUR / 2);
        Ok::<_, JobError>(())
    };
    assert_eq!(job.run(&mut conn, work).unwrap(), RAN);
    assert_eq!(run(&job, &mut conn).unwrap(), not_before(start + HOUR));
}

#[test]
fn a_key_has_one_run_and_another_key_its_own() {
    let database = database_with_ledger();
    let (mut conn, job) = (database.connect(), job("keys"));
    assert_eq!(run(&job.clone().once_for("2026-11-24"), &mut conn).unwrap(), RAN);
    assert_eq!(run(&job.clone().once_for("2026-11-24"), &mut conn).unwrap(), NEVER_AGAIN);
    assert_eq!(run(&job.clone().once_for("2026-11-25"), &mut conn).unwrap(), RAN);
    assert_eq!(run(&job.clone().once_for("2026-11-24"), &mut conn).unwrap(), NEVER_AGAIN);
}

#[test]
fn with_an_interval_and_a_key_both_must_allow_it() {
    let database = database_with_ledger();
    let (mut conn, job) = (database.connect(), job("both").at_most_every(HOUR));
    let start = set_clock(&mut conn, Duration::ZERO);
    assert_eq!(run(&job.clone().once_for(1), &mut conn).unwrap(), RAN);
    assert_eq!(run(&job.clone().once_for(2), &mut conn).unwrap(), not_before(start + HOUR));
    set_clock(&mut conn, HOUR);
    assert_eq!(run(&job.clone().once_for(1), &mut conn).unwrap(), NEVER_AGAIN);
    assert_eq!(run(&job.clone().once_for(2), &mut conn).unwrap(), RAN);
}

#[test]
fn a_failed_run_is_due_again_at_once() {
    let database = database_with_ledger();
    let (mut conn, job) = (database.connect(), job("fails").at_most_every(HOUR).once_for(1));
    fail(&job, &mut conn);
    assert_eq!(run(&job, &mut conn).unwrap(), RAN);
}

#[test]
fn a_failed_run_keeps_its_slot_where_that_was_said() {
    let database = database_with_ledger();
    let (mut conn, job) = (database.connect(), job("keeps").no_retry_after_failure());
    let start = set_clock(&mut conn, Duration::ZERO);
    let (hourly, once) = (job.clone().at_most_every(HOUR), job.once_for(1));
    fail(&hourly, &mut conn);
    assert_eq!(run(&hourly, &mut conn).unwrap(), not_before(start + HOUR));
    fail(&once, &mut conn);
    assert_eq!(run(&once, &mut conn).unwrap(), NEVER_AGAIN);
}

#[test]
fn an_abandoned_run_is_due_again_at_once() {
    let database = database_with_ledger();
    let job = job("abandoned").at_most_every(HOUR).once_for(1);
    abandon(&job, &database);
    assert_eq!(run(&job, &mut database.connect()).unwrap(), RAN);
    assert_eq!(database.status(&job).runs, 2);
}

#[test]
fn an_abandoned_run_is_due_again_after_the_time_that_was_said() {
    let database = database_with_ledger();
    let job = job("waits").at_most_every(HOUR * 24).once_for(1).retry_abandoned_after(HOUR);
    abandon(&job, &database);
    let mut conn = database.connect();
    let next = database.status(&job).started + HOUR;
    assert_eq!(run(&job, &mut conn).unwrap(), not_before(next));
    // By then the clock is far beyond.
    set_clock(&mut conn, HOUR);
    assert_eq!(run(&job, &mut conn).unwrap(), RAN);
}

#[test]
fn a_job_that_runs_elsewhere_is_busy_and_says_where() {
    let database = database_with_ledger();
    let (mut here, mut there) = (database.connect(), database.connect());
    let job = job("busy").at_most_every(HOUR);
    let elsewhere = id(&mut there);
    let outcome = job.run(&mut there, |_| Ok::<_, JobError>(run(&job, &mut here).unwrap()));
    let JobOutcome::Ran(JobOutcome::Busy(Some(holder))) = outcome.unwrap() else { panic!("not busy") };
    assert_eq!(holder.connection_id, elsewhere);
}

/// Their rows are new, and lie next to each other.
#[test]
fn jobs_of_different_names_are_in_no_way_of_each_other() {
    let database = database_with_ledger();
    let jobs: Vec<_> = (0..8).map(|_| job("neighbours").at_most_every(MICROSECOND)).collect();
    std::thread::scope(|scope| {
        for job in &jobs {
            scope.spawn(|| {
                let mut conn = database.connect();
                for key in 0..20 {
                    assert_eq!(run(&job.clone().once_for(key), &mut conn).unwrap(), RAN);
                }
            });
        }
    });
    assert!(jobs.iter().all(|job| database.status(job).runs == 20));
}
