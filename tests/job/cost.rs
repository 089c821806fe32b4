//! Round trips, counted by the server itself. No timing.

use diesel::{prelude::*, sql_query};
use diesel_named_lock::job::{JobError, JobOutcome, JobState};

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
fn counted(conn: &mut MysqlConnection, work: impl FnOnce(&mut MysqlConnection)) -> u64 {
    let first = round_trips(conn);
    let second = round_trips(conn);
    work(conn);
    round_trips(conn) - second - (second - first)
}

#[test]
fn a_run_takes_ten_round_trips_and_one_that_is_not_due_four() {
    let database = database_with_ledger();
    let mut conn = database.connect();
    for warm in [job("warm").at_most_every(HOUR), job("warm").once_for(1)] {
        assert_eq!(run(&warm, &mut conn).unwrap(), RAN);
    }
    for job in [job("cost").at_most_every(HOUR), job("cost").once_for(1), job("cost").at_most_every(HOUR).once_for(1)] {
        let ran = counted(&mut conn, |conn| assert_eq!(run(&job, conn).unwrap(), RAN));
        let not_due = counted(&mut conn, |conn| {
            assert!(matches!(run(&job, conn).unwrap(), JobOutcome::NotDue { .. }));
        });
        let status = counted(&mut conn, |conn| assert!(job.status(conn).unwrap().is_some()));
        assert_eq!((ran, not_due, status), (10, 4, 1), "{job:?}");
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
