//! A lock that was lost during the work.

use diesel::r2d2::Pool;
use diesel_named_lock::{
    NamedLockError,
    job::{JobError, JobState},
};

use testkit::world::*;

use crate::database::*;

#[test]
fn a_run_whose_session_is_killed_is_an_error_and_shows_as_abandoned() {
    let database = database_with_ledger();
    let (mut conn, job) = (database.connect(), job("session").at_most_every(HOUR));
    let own = id(&mut conn);
    let outcome = job.run(&mut conn, |_| {
        kill(own);
        wait_until("the killed session to be gone", || !is_alive(own));
        Ok::<_, JobError>(())
    });
    assert!(matches!(outcome, Err(JobError::Lock(NamedLockError::Lost { .. }))), "{outcome:?}");
    assert_eq!(database.status(&job).state, JobState::Abandoned);
}

#[test]
fn a_run_that_releases_its_lock_by_hand_is_an_error_and_shows_as_failed() {
    let database = database_with_ledger();
    let (mut conn, job) = (database.connect(), job("by_hand").at_most_every(HOUR));
    let outcome = job.run(&mut conn, |conn| {
        release_lock(conn, job.name().as_str());
        Ok::<_, JobError>(())
    });
    assert!(matches!(outcome, Err(JobError::Lock(NamedLockError::Lost { .. }))), "{outcome:?}");
    let state = database.status(&job).state;
    assert!(matches!(&state, JobState::Failed { error, .. } if error.contains("was lost")), "{state:?}");
}

/// The second one sees the first as abandoned, which is all that the server can tell.
#[test]
fn a_run_that_lost_its_lock_does_not_write_over_the_run_of_another() {
    let database = database_with_ledger();
    let (mut first, mut second) = (database.connect(), database.connect());
    let job = job("overtaken").at_most_every(HOUR);
    let outcome = job.run(&mut first, |first| {
        release_lock(first, job.name().as_str());
        assert_eq!(run(&job, &mut second).unwrap(), RAN);
        Ok::<_, JobError>(())
    });
    assert!(matches!(outcome, Err(JobError::Lock(NamedLockError::Lost { .. }))), "{outcome:?}");
    let status = database.status(&job);
    assert!(matches!(status.state, JobState::Succeeded { .. }), "{status:?}");
    assert_eq!((status.runs, status.connection_id.get()), (2, id(&mut second)));
}

#[test]
fn a_run_that_swaps_its_connection_is_an_error_and_shows_as_abandoned() {
    let database = database_with_ledger();
    let (mut conn, job) = (database.connect(), job("swapped").at_most_every(HOUR));
    let mut other = database.connect();
    let outcome = job.run(&mut conn, |conn| {
        std::mem::swap(conn, &mut other);
        Ok::<_, JobError>(())
    });
    assert!(matches!(outcome, Err(JobError::Lock(NamedLockError::ConnectionSwapped { .. }))), "{outcome:?}");
    assert_free_soon(job.name().as_str());
    assert_eq!(database.status(&job).state, JobState::Abandoned);
}

#[test]
fn a_pool_replaces_the_connection_of_a_run_whose_session_is_killed() {
    let database = database_with_ledger();
    let job = job("pooled").at_most_every(HOUR);
    let pool = Pool::builder().max_size(1).connection_timeout(SOON).build(Manager::new(&database.url)).unwrap();
    let outcome = job.run(&mut pool.get().unwrap(), |conn| {
        let own = id(conn);
        kill(own);
        wait_until("the killed session to be gone", || !is_alive(own));
        Ok::<_, JobError>(())
    });
    assert!(matches!(outcome, Err(JobError::Lock(NamedLockError::Lost { .. }))), "{outcome:?}");
    assert_sound(&pool, job.name().as_str());
    let again = job.run(&mut pool.get().unwrap(), |_| Ok::<_, JobError>(()));
    assert_eq!(again.unwrap(), RAN);
}
