//! The server's clock, and no other.

use std::time::{Duration, SystemTime};

use diesel::connection::SimpleConnection;
use diesel_named_lock::job::JobError;

use testkit::world::*;

use crate::database::*;

#[test]
fn after_the_clock_is_set_back_a_whole_interval_must_pass() {
    let database = database_with_ledger();
    let (mut conn, job) = (database.connect(), job("back").at_most_every(HOUR));
    set_clock(&mut conn, HOUR * 10);
    assert_eq!(run(&job, &mut conn).unwrap(), RAN);

    // Set back by three hours, then seen again and again.
    let seen = set_clock(&mut conn, HOUR * 7);
    for ahead in [Duration::ZERO, HOUR / 2, HOUR - Duration::from_micros(1)] {
        set_clock(&mut conn, HOUR * 7 + ahead);
        assert_eq!(run(&job, &mut conn).unwrap(), not_before(seen + HOUR), "{ahead:?} after it was set back");
    }
    set_clock(&mut conn, HOUR * 8);
    assert_eq!(run(&job, &mut conn).unwrap(), RAN);
}

#[test]
fn after_a_clock_was_set_back_and_put_right_the_interval_is_that_of_the_run() {
    let database = database_with_ledger();
    let (mut conn, job) = (database.connect(), job("right").at_most_every(HOUR));
    let start = set_clock(&mut conn, HOUR * 10);
    assert_eq!(run(&job, &mut conn).unwrap(), RAN);
    let seen = set_clock(&mut conn, HOUR * 7);
    assert_eq!(run(&job, &mut conn).unwrap(), not_before(seen + HOUR));
    set_clock(&mut conn, HOUR * 10 + HOUR / 2);
    assert_eq!(run(&job, &mut conn).unwrap(), not_before(start + HOUR));
    set_clock(&mut conn, HOUR * 11);
    assert_eq!(run(&job, &mut conn).unwrap(), RAN);
}

#[test]
fn a_clock_that_was_years_ahead_delays_the_job_by_no_more_than_an_interval() {
    let database = database_with_ledger();
    let (mut conn, job) = (database.connect(), job("ahead").at_most_every(HOUR).once_for(1));
    let years = HOUR * 24 * 365 * 5;
    let start = set_clock(&mut conn, years);
    assert_eq!(run(&job, &mut conn).unwrap(), RAN);
    let next_key = job.clone().once_for(2);
    let seen = set_clock(&mut conn, Duration::ZERO);
    assert_eq!(run(&next_key, &mut conn).unwrap(), not_before(seen + HOUR));
    assert_eq!(database.status(&job).started, start, "the ledger still says when it ran");
    set_clock(&mut conn, HOUR);
    assert_eq!(run(&job, &mut conn).unwrap(), NEVER_AGAIN, "whatever the clock says");
    assert_eq!(run(&next_key, &mut conn).unwrap(), RAN);
}

#[test]
fn after_the_clock_is_set_back_an_abandoned_run_is_due_after_the_whole_time() {
    let database = database_with_ledger();
    let job = job("back_abandoned").once_for(1).retry_abandoned_after(HOUR);
    abandon(&job, &database);
    // From now to a day of last century.
    let mut conn = database.connect();
    conn.batch_execute("SET timestamp = 900000000").unwrap();
    let next = SystemTime::UNIX_EPOCH + Duration::from_secs(900_000_000) + HOUR;
    assert_eq!(run(&job, &mut conn).unwrap(), not_before(next));
    conn.batch_execute("SET timestamp = 900003599").unwrap();
    assert_eq!(run(&job, &mut conn).unwrap(), not_before(next));
    conn.batch_execute("SET timestamp = 900003600").unwrap();
    assert_eq!(run(&job, &mut conn).unwrap(), RAN);
}

#[test]
fn a_clock_set_back_during_a_run_does_not_make_it_due() {
    let database = database_with_ledger();
    let (mut conn, job) = (database.connect(), job("back_inside").at_most_every(HOUR));
    set_clock(&mut conn, HOUR * 10);
    let work = |conn: &mut _| {
        set_clock(conn, HOUR);
        Ok::<_, JobError>(())
    };
    assert_eq!(job.run(&mut conn, work).unwrap(), RAN);
    let seen = set_clock(&mut conn, HOUR + HOUR / 2);
    assert_eq!(run(&job, &mut conn).unwrap(), not_before(seen + HOUR));
}

#[test]
fn the_time_zone_of_a_session_does_not_matter() {
    let database = database_with_ledger();
    let (mut east, mut west) = (database.connect(), database.connect());
    east.batch_execute("SET time_zone = '+13:00'").unwrap();
    west.batch_execute("SET time_zone = '-12:00'").unwrap();
    let job = job("zone").at_most_every(HOUR);
    let start = set_clock(&mut east, Duration::ZERO);
    set_clock(&mut west, Duration::ZERO);
    assert_eq!(run(&job, &mut east).unwrap(), RAN);
    assert_eq!(run(&job, &mut west).unwrap(), not_before(start + HOUR));
    for conn in [&mut east, &mut west] {
        assert_eq!(job.status(conn).unwrap().unwrap().started, start);
    }
}

#[test]
fn times_are_the_servers_of_now() {
    let database = database_with_ledger();
    let job = job("now").at_most_every(HOUR);
    assert_eq!(run(&job, &mut database.connect()).unwrap(), RAN);
    let query = "SELECT CAST(UNIX_TIMESTAMP(SYSDATE()) AS SIGNED) AS number";
    let now = number(&mut database.connect(), query).unwrap() as u64;
    let started = database.status(&job).started.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    assert!(started.abs_diff(now) < 60, "started {started}, now {now}");
}
