//! A job that is nothing but "skip if it runs elsewhere": no table, no state.

use std::time::Instant;

use diesel_named_lock::{
    NamedLock, NamedLockError,
    job::{JobError, JobOutcome},
};

use testkit::world::*;

use crate::database::*;

#[test]
fn it_runs_as_often_as_it_is_asked_to() {
    let (mut conn, job) = (database().connect(), job("plain"));
    assert_eq!(run(&job, &mut conn).unwrap(), RAN);
    assert_eq!(run(&job, &mut conn).unwrap(), RAN);
    assert_free(job.name().as_str());
}

#[test]
fn it_is_skipped_without_waiting_while_it_runs_elsewhere() {
    let (mut here, mut there, job) = (connect(), connect(), job("plain_busy"));
    let elsewhere = id(&mut there);
    let start = Instant::now();
    let outcome = job.run(&mut there, |_| Ok::<_, JobError>(run(&job, &mut here).unwrap()));
    let JobOutcome::Ran(JobOutcome::Busy(Some(holder))) = outcome.unwrap() else { panic!("not busy") };
    assert_eq!(holder.connection_id, elsewhere);
    assert!(start.elapsed() < NamedLock::DEFAULT_TIMEOUT / 2, "after {:?}", start.elapsed());
}

#[test]
fn its_error_comes_back_unchanged() {
    let outcome = job("plain_error").run(&mut connect(), |_| Err::<(), _>(diesel::result::Error::NotFound));
    assert_eq!(outcome.unwrap_err(), diesel::result::Error::NotFound);
}

#[test]
fn a_lost_lock_is_an_error() {
    let (mut conn, job) = (connect(), job("plain_lost"));
    let outcome = job.run(&mut conn, |conn| {
        release_lock(conn, job.name().as_str());
        Ok::<_, JobError>(())
    });
    assert!(matches!(outcome, Err(JobError::Lock(NamedLockError::Lost { .. }))), "{outcome:?}");
}

#[test]
fn inside_its_own_work_it_is_refused() {
    let (mut conn, job) = (connect(), job("plain_nested"));
    let outcome = job.run(&mut conn, |conn| run(&job, conn));
    assert!(matches!(outcome, Err(JobError::Lock(NamedLockError::AlreadyHeld { .. }))), "{outcome:?}");
}
