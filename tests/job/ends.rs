//! What becomes of a run: its value, its error, its panic, and what the ledger says of it.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex},
    thread,
};

use diesel::{
    connection::{InstrumentationEvent, SimpleConnection},
    prelude::*,
    result::Error as DieselError,
};
use diesel_named_lock::{
    NamedLockError,
    job::{JobError, JobState, SingletonJob},
};

use testkit::world::*;

use crate::database::*;

#[track_caller]
fn recorded_error(database: &Database, job: &SingletonJob) -> String {
    match database.status(job).state {
        JobState::Failed { error, .. } => error,
        state => panic!("{state:?}"),
    }
}

/// An error that belongs to nobody else.
#[derive(Debug, thiserror::Error)]
enum AppError {
    #[error("no paper in tray {0}")]
    NoPaper(u32),
    #[error(transparent)]
    Job(#[from] JobError),
}

#[test]
fn the_works_error_comes_back_unchanged_and_its_text_is_recorded() {
    let database = database_with_ledger();
    let job = job("error").at_most_every(HOUR);
    let outcome = job.run(&mut database.connect(), |_| Err::<(), _>(AppError::NoPaper(2)));
    assert!(matches!(outcome, Err(AppError::NoPaper(2))), "{outcome:?}");
    assert_eq!(recorded_error(&database, &job), "no paper in tray 2");
}

#[test]
fn errors_of_the_box_and_of_diesel_can_be_the_works() {
    let database = database_with_ledger();
    let job = job("error_types").at_most_every(HOUR);
    let boxed = job.run(&mut database.connect(), |_| Err::<(), Box<dyn std::error::Error>>("plain text".into()));
    assert_eq!(boxed.unwrap_err().to_string(), "plain text");
    assert_eq!(recorded_error(&database, &job), "plain text");
    let diesel = job.run(&mut database.connect(), |_| Err::<(), _>(DieselError::NotFound));
    assert_eq!(diesel.unwrap_err(), DieselError::NotFound);
}

#[test]
fn an_error_text_is_cut_between_characters_to_what_the_ledger_keeps() {
    let database = database_with_ledger();
    let job = job("long_error").at_most_every(HOUR);
    let mut conn = database.connect();
    for (text, kept) in [("🔒é".repeat(500), 1000), (format!("x{}", "🔒".repeat(1000)), 1000), ("é".into(), 1)] {
        let outcome: Result<_, Box<dyn std::error::Error>> = job.run(&mut conn, |_| Err::<(), _>(text.clone().into()));
        assert_eq!(outcome.unwrap_err().to_string(), text, "the caller gets all of it");
        assert_eq!(recorded_error(&database, &job), text.chars().take(kept).collect::<String>());
    }
}

#[test]
fn a_panic_is_recorded_as_a_failure_and_goes_on() {
    let database = database_with_ledger();
    let (mut conn, job) = (database.connect(), job("panic").at_most_every(HOUR));
    let panic = catch_unwind(AssertUnwindSafe(|| {
        job.run(&mut conn, |conn| -> Result<(), JobError> {
            begin(conn)?;
            std::panic::panic_any(String::from("out of paper"))
        })
    }));
    assert_eq!(panic.unwrap_err().downcast_ref::<String>().map(String::as_str), Some("out of paper"));
    assert_eq!(recorded_error(&database, &job), "panicked: out of paper");
    assert_eq!(holder(job.name().as_str()), None);
    assert_eq!(run(&job, &mut conn).unwrap(), RAN, "on the same connection");
}

/// Before that, it would show as abandoned to the next one.
#[test]
fn the_lock_is_held_until_the_end_is_recorded() {
    let database = database_with_ledger();
    let (mut conn, job) = (database.connect(), job("held").at_most_every(HOUR));
    let (own, name) = (id(&mut conn), job.name().clone());
    let holders = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&holders);
    conn.set_instrumentation(move |event: InstrumentationEvent<'_>| match event {
        InstrumentationEvent::FinishQuery { query, .. } if query.to_string().contains("SET ended_at") => {
            seen.lock().unwrap().push(holder(name.as_str()));
        }
        _ => {}
    });
    assert_eq!(run(&job, &mut conn).unwrap(), RAN);
    assert_eq!(*holders.lock().unwrap(), [Some(own)]);
    assert_free(job.name().as_str());
}

#[test]
fn a_transaction_left_open_is_rolled_back_before_the_end_is_recorded() {
    let database = database_with_ledger();
    let (mut conn, job) = (database.connect(), job("open").at_most_every(HOUR));
    conn.batch_execute("CREATE TABLE written (id INT)").unwrap();
    let outcome = job.run(&mut conn, |conn| {
        begin(conn)?;
        conn.batch_execute("INSERT INTO written VALUES (1)")?;
        Ok::<_, JobError>(())
    });
    assert!(
        matches!(outcome, Err(JobError::Lock(NamedLockError::TransactionLeftOpen { depth: Some(1), .. }))),
        "{outcome:?}"
    );
    assert!(recorded_error(&database, &job).contains("left a transaction open"));
    assert_eq!(number(&mut conn, "SELECT COUNT(*) AS number FROM written"), Some(0));
}

#[test]
fn inside_a_test_transaction_a_job_runs_and_leaves_nothing() {
    let database = database_with_ledger();
    let (mut conn, job) = (database.connect(), job("test_transaction").at_most_every(HOUR));
    conn.begin_test_transaction().unwrap();
    assert_eq!(run(&job, &mut conn).unwrap(), RAN);
    assert!(matches!(job.status(&mut conn).unwrap().unwrap().state, JobState::Succeeded { .. }));
    assert_eq!(job.status(&mut database.connect()).unwrap(), None);
}

#[test]
fn a_run_whose_end_can_not_be_recorded_is_an_error_that_says_that_it_succeeded() {
    let database = database_with_ledger();
    let (mut conn, job) = (database.connect(), job("unrecorded").at_most_every(HOUR));
    let outcome = job.run(&mut conn, |conn| {
        conn.batch_execute("DELETE FROM named_lock_ledger")?;
        Ok::<_, JobError>(())
    });
    assert!(matches!(outcome, Err(JobError::NotRecorded { source: DieselError::NotFound, .. })), "{outcome:?}");
    let outcome = job.run(&mut conn, |_| {
        database.undo_migration();
        Ok::<_, JobError>(())
    });
    let error = outcome.unwrap_err();
    assert!(matches!(error, JobError::NotRecorded { .. }), "{error:?}");
    assert!(error.to_string().contains("has run and succeeded"), "{error}");
    assert_free(job.name().as_str());
}

#[test]
fn the_works_error_wins_over_one_of_the_ledger() {
    let database = database_with_ledger();
    let job = job("wins").at_most_every(HOUR);
    let outcome = job.run(&mut database.connect(), |_| {
        database.undo_migration();
        Err::<(), _>(AppError::NoPaper(3))
    });
    assert!(matches!(outcome, Err(AppError::NoPaper(3))), "{outcome:?}");
}

/// The ledger's row is locked, so that the statement lasts until it is killed.
#[test]
fn an_end_whose_statement_is_killed_is_recorded_all_the_same() {
    let database = database_with_ledger();
    let (mut conn, mut operator) = (database.connect(), database.connect());
    let (job, own) = (job("killed").at_most_every(HOUR), id(&mut conn));
    let outcome = thread::scope(|scope| {
        job.run(&mut conn, |_| {
            operator.batch_execute("BEGIN; UPDATE named_lock_ledger SET host = 'x'").unwrap();
            scope.spawn(move || {
                let query = format!(
                    "SELECT COUNT(*) AS number FROM {} WHERE ID = {own} AND INFO LIKE 'UPDATE%'",
                    process_list()
                );
                wait_until("the end to be written", || number(&mut operator, &query) == Some(1));
                kill_query(own);
                operator.batch_execute("ROLLBACK").unwrap();
            });
            Ok::<_, JobError>(())
        })
    });
    assert_eq!(outcome.unwrap(), RAN);
    assert!(matches!(database.status(&job).state, JobState::Succeeded { .. }));
}

/// An error whose text can't be told, in one way or the other.
#[derive(Debug)]
enum Untold {
    Fails,
    Panics,
    Empty,
    Job(JobError),
}

impl std::fmt::Display for Untold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fails => f.write_str("before").and(Err(std::fmt::Error)),
            Self::Panics => panic!("no text"),
            Self::Empty => Ok(()),
            Self::Job(error) => error.fmt(f),
        }
    }
}

impl From<JobError> for Untold {
    fn from(error: JobError) -> Self {
        Self::Job(error)
    }
}

/// Otherwise the job would be due at once.
#[test]
fn an_error_that_can_not_tell_its_text_is_recorded_as_a_failure_and_comes_back() {
    let database = database_with_ledger();
    for error in [Untold::Fails, Untold::Panics, Untold::Empty] {
        let (mut conn, job) = (database.connect(), job("untold").at_most_every(HOUR).no_retry_after_failure());
        let expected = format!("{error:?}");
        let outcome = job.run(&mut conn, |_| Err::<(), _>(error));
        assert_eq!(format!("{:?}", outcome.unwrap_err()), expected);
        assert_ne!(recorded_error(&database, &job), "", "{expected}");
        assert_ne!(run(&job, &mut conn).unwrap(), RAN, "{expected}");
    }
}
