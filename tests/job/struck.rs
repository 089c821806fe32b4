//! `KILL QUERY` at the statements of the ledger.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use diesel::{connection::SimpleConnection, prelude::*};
use diesel_named_lock::{
    NamedLockError,
    job::{JobError, JobOutcome, JobState},
};
use testkit::{striking::Striking, world::*};

use crate::database::*;

const TIMES: [u32; 3] = [1, 2, 9];

/// Of the ledger: what is read, the start, the end, and each commit.
const STATEMENTS: [&str; 4] =
    ["FROM named_lock_ledger", "INSERT INTO named_lock_ledger", "UPDATE named_lock_ledger", "COMMIT"];

fn through_a_proxy(database: &Database) -> (Striking, MysqlConnection) {
    let proxy = Striking::to(&database.tcp_url());
    let conn = MysqlConnection::establish(proxy.url()).expect("a connection");
    (proxy, conn)
}

#[test]
fn a_run_is_recorded_however_often_a_statement_of_the_ledger_is_struck() {
    let database = database_with_ledger();
    let (proxy, mut conn) = through_a_proxy(&database);
    for (statement, times) in STATEMENTS.iter().flat_map(|statement| TIMES.map(|times| (statement, times))) {
        let job = job("struck").at_most_every(HOUR).once_for(1);
        proxy.strike(times, statement);
        assert_eq!(run(&job, &mut conn).unwrap(), RAN, "{statement} struck {times} times");
        assert_eq!(proxy.struck(), times, "{statement}");
        let last = database.status(&job);
        assert!(matches!(last.state, JobState::Succeeded { .. }), "{statement} struck {times} times: {last:?}");
        assert_eq!((last.runs, last.connection_id.get()), (1, id(&mut conn)), "{statement} struck {times} times");
        proxy.strike(times, statement);
        assert_eq!(run(&job, &mut conn).unwrap(), NEVER_AGAIN, "{statement} struck {times} times");
    }
}

#[test]
fn an_end_is_recorded_however_often_it_is_struck() {
    let database = database_with_ledger();
    let (proxy, mut conn) = through_a_proxy(&database);
    for (statement, times) in STATEMENTS[2..].iter().flat_map(|statement| TIMES.map(|times| (statement, times))) {
        for succeeds in [true, false] {
            let job = job("struck_end").at_most_every(HOUR).no_retry_after_failure();
            let outcome = job.run(&mut conn, |_| {
                proxy.strike(times, statement);
                if succeeds { Ok(()) } else { Err(JobError::from(diesel::result::Error::NotFound)) }
            });
            assert_eq!((outcome.is_ok(), proxy.struck()), (succeeds, times), "{statement}: {outcome:?}");
            let state = database.status(&job).state;
            let recorded = if succeeds {
                matches!(state, JobState::Succeeded { .. })
            } else {
                matches!(state, JobState::Failed { .. })
            };
            assert!(recorded, "{statement} struck {times} times: {state:?}");
        }
    }
}

/// Diesel sends no second `ROLLBACK`. What the work wrote is undone before its end is recorded, and so is what it wrote afterwards.
#[test]
fn a_rollback_of_the_works_own_transaction_that_is_struck_is_recorded_as_a_failure() {
    let database = database_with_ledger();
    database.connect().batch_execute("CREATE TABLE written (id INT) ENGINE = InnoDB").unwrap();
    for (times, swallows) in TIMES.into_iter().flat_map(|times| [(times, false), (times, true)]) {
        let ((proxy, mut conn), job) = (through_a_proxy(&database), job("struck_own").at_most_every(HOUR));
        let own = id(&mut conn);
        let outcome = job.run(&mut conn, |conn| {
            let rolled_back = conn.transaction(|conn| -> Result<(), JobError> {
                conn.batch_execute("INSERT INTO written VALUES (1)")?;
                proxy.strike(times, "ROLLBACK");
                Err(diesel::result::Error::NotFound.into())
            });
            if swallows { Ok(conn.batch_execute("INSERT INTO written VALUES (2)")?) } else { rolled_back }
        });
        assert_eq!(proxy.struck(), times);
        let is_left_open =
            matches!(outcome, Err(JobError::Lock(NamedLockError::TransactionLeftOpen { depth: None, .. })));
        assert_eq!((outcome.is_err(), is_left_open), (true, swallows), "{outcome:?}");
        let state = database.status(&job).state;
        assert!(matches!(state, JobState::Failed { .. }), "struck {times} times: {state:?}");
        assert_eq!(number(&mut database.connect(), "SELECT COUNT(*) AS number FROM written"), Some(0));
        assert_eq!((id(&mut conn), holder(job.name().as_str())), (own, None));
    }
}

/// Also if the question which table is missing would be answered wrongly.
#[test]
fn a_ledger_whose_reading_is_struck_beyond_the_bound_is_not_said_to_be_missing() {
    let database = database_with_ledger();
    let (proxy, mut conn) = through_a_proxy(&database);
    let job = job("struck_on").at_most_every(HOUR);
    proxy.strike(u32::MAX, "named_lock_ledger");
    assert!(matches!(run(&job, &mut conn), Err(JobError::Ledger { .. })));
    assert!(matches!(job.status(&mut conn), Err(JobError::Ledger { .. })));
    proxy.strike(0, "");
    assert_eq!(run(&job, &mut conn).unwrap(), RAN, "on the same connection");
}

#[test]
fn the_status_is_told_however_often_its_questions_are_struck() {
    let database = database_with_ledger();
    let (proxy, mut conn) = through_a_proxy(&database);
    let job = job("struck_status").at_most_every(HOUR);
    abandon(&job, &database);
    for (statement, times) in ["FROM named_lock_ledger", "IS_USED_LOCK"].iter().flat_map(|s| TIMES.map(|t| (s, t))) {
        proxy.strike(times, statement);
        assert_eq!(job.status(&mut conn).unwrap().map(|last| last.state), Some(JobState::Abandoned), "{statement}");
        assert_eq!(proxy.struck(), times, "{statement}");
    }
}

/// Real ones, at any moment. What strikes the lock itself is an error, after which no run may be missing or too many.
#[test]
fn under_a_rain_of_kill_query_every_run_that_was_told_is_in_the_ledger() {
    let database = database_with_ledger();
    let mut conn = database.connect();
    let (own, dry) = (id(&mut conn), AtomicBool::new(false));
    let (mut ran, mut failed) = (0, 0);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut killer = database.connect();
            while !dry.load(Ordering::Relaxed) {
                let _ = killer.batch_execute(&format!("KILL QUERY {own}"));
                thread::sleep(Duration::from_micros(300));
            }
        });
        // Also if an assertion fails.
        let _dry = scopeguard::guard((), |()| dry.store(true, Ordering::Relaxed));
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(2) || (ran == 0 && start.elapsed() < PATIENCE) {
            let job = job("rain").at_most_every(HOUR).no_retry_after_failure();
            match run(&job, &mut conn) {
                Ok(outcome) => {
                    assert_eq!(outcome, RAN);
                    let last = database.status(&job);
                    assert!(matches!(last.state, JobState::Succeeded { .. }), "{last:?}");
                    assert_eq!(last.runs, 1, "{last:?}");
                    ran += 1;
                    // An empty answer would be a run that never was.
                    let seen = job.status(&mut conn).map(|last| last.is_some());
                    assert!(matches!(seen, Ok(true) | Err(JobError::Ledger { .. })), "{seen:?}");
                    let second = run(&job, &mut conn);
                    assert!(!matches!(second, Ok(JobOutcome::Ran(()))), "{second:?}");
                }
                Err(error @ (JobError::NotRecorded { .. } | JobError::NoLedger { .. })) => panic!("{error}"),
                Err(_) => {
                    failed += 1;
                    if !is_alive(own) {
                        break;
                    }
                }
            }
        }
    });
    println!("{ran} ran, {failed} were struck at their lock");
    assert!(ran > 0);
}
