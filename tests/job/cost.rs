//! Round trips, counted by the server itself. No timing.

use std::time::Duration;

use diesel::{prelude::*, sql_query};
use diesel_named_lock::job::{JobError, JobOutcome, JobState, SingletonJob};

use testkit::world::*;

use crate::database::*;

#[derive(QueryableByName)]
struct Counter {
    #[diesel(sql_type = diesel::sql_types::Text, column_name = Value)]
    value: String,
}

/// Statements executed and prepared: what the client waits for.
fn round_trips(conn: &mut MysqlConnection) -> u64 {
    let query = "SHOW SESSION STATUS WHERE Variable_name IN ('Questions', 'Com_stmt_prepare')";
    let rows: Vec<Counter> = sql_query(query).load(conn).unwrap();
    assert_eq!(rows.len(), 2);
    rows.iter().map(|row| row.value.parse::<u64>().unwrap()).sum()
}

/// How many round trips `work` takes, without those of the counting.
pub fn counted(conn: &mut MysqlConnection, work: impl FnOnce(&mut MysqlConnection)) -> u64 {
    let first = round_trips(conn);
    let second = round_trips(conn);
    work(conn);
    round_trips(conn) - second - (second - first)
}

/// The very first one does not know yet that its session commits each statement by itself.
#[test]
fn a_run_takes_nine_round_trips_the_very_first_three_more_and_one_that_is_not_due_two() {
    let database = database_with_ledger();
    let mut conn = database.connect();
    let often = |job: SingletonJob| job.at_most_every(Duration::from_micros(1));
    for warm in [often(job("warm")), job("warm").once_for(1)] {
        assert_eq!(run(&warm, &mut conn).unwrap(), RAN);
    }
    let mut ran = |job: &SingletonJob| counted(&mut conn, |conn| assert_eq!(run(job, conn).unwrap(), RAN));
    let (hourly, keyed, both) = (job("cost"), job("cost"), job("cost"));
    let first = [often(hourly.clone()), keyed.clone().once_for(1), often(both.clone()).once_for(1)];
    assert_eq!(first.each_ref().map(&mut ran), [12; 3]);
    let next = [often(hourly.clone()), keyed.clone().once_for(2), often(both.clone()).once_for(2)];
    assert_eq!(next.each_ref().map(&mut ran), [9; 3]);
    for done in [hourly.at_most_every(HOUR), keyed.once_for(1), both.at_most_every(HOUR).once_for(3)] {
        let not_due = counted(&mut conn, |conn| {
            assert!(matches!(run(&done, conn).unwrap(), JobOutcome::NotDue { .. }));
        });
        let status = counted(&mut conn, |conn| drop(done.status(conn).unwrap()));
        assert_eq!((not_due, status), (2, 1), "{done:?}");
    }
}

#[test]
fn a_job_without_a_ledger_takes_two_round_trips() {
    let (mut conn, job) = (connect(), job("cost_plain"));
    assert_eq!(run(&job, &mut conn).unwrap(), RAN);
    assert_eq!(counted(&mut conn, |conn| assert_eq!(run(&job, conn).unwrap(), RAN)), 2);
}

#[test]
fn the_status_of_a_run_that_has_not_ended_takes_two_round_trips_and_four_if_it_never_will() {
    let (database, job) = (database_with_ledger(), job("cost_status").at_most_every(HOUR));
    let mut conn = database.connect();
    let mut status = |state| {
        let took = |conn: &mut _| counted(conn, |conn| assert_eq!(job.status(conn).unwrap().unwrap().state, state));
        (took(&mut conn), took(&mut conn)).1
    };
    abandon(&job, &database);
    assert_eq!(status(JobState::Abandoned), 4);
    let running = job.run(&mut database.connect(), |_| Ok::<_, JobError>(status(JobState::Running)));
    assert_eq!(running.unwrap(), JobOutcome::Ran(2));
}
