//! A job that is not due takes no lock; but only if the ledger would say the same under the lock.

use diesel::{connection::SimpleConnection, prelude::*};
use diesel_named_lock::{
    NamedLockError,
    job::{JobError, JobOutcome, JobState, SingletonJob},
};

use testkit::world::*;

use crate::{cost::counted, database::*};

/// A job that has just run, for the hour.
fn done(database: &Database) -> SingletonJob {
    let job = job("done").at_most_every(HOUR);
    assert_eq!(run(&job, &mut database.connect()).unwrap(), RAN);
    job
}

fn is_not_due(outcome: &JobOutcome<()>) -> bool {
    matches!(outcome, JobOutcome::NotDue { next: Some(_) })
}

#[test]
fn a_job_that_is_not_due_is_busy_while_another_session_holds_its_lock() {
    let database = database_with_ledger();
    let (mut conn, job) = (database.connect(), done(&database));
    let elsewhere = hold_elsewhere(job.name().as_str());
    match run(&job, &mut conn).unwrap() {
        JobOutcome::Busy(Some(holder)) => assert_eq!(holder.connection_id, elsewhere.id),
        other => panic!("{other:?}"),
    }
    drop(elsewhere);
    assert_free_soon(job.name().as_str());
    assert!(is_not_due(&run(&job, &mut conn).unwrap()));
}

#[test]
fn a_job_that_is_not_due_is_refused_inside_a_section_over_its_lock() {
    let database = database_with_ledger();
    let (mut conn, job) = (database.connect(), done(&database));
    assert_eq!(get_lock(&mut conn, job.name().as_str(), 0), Some(1));
    let refused = run(&job, &mut conn);
    assert!(matches!(refused, Err(JobError::Lock(NamedLockError::AlreadyHeld { .. }))), "{refused:?}");
}

#[test]
fn a_job_that_is_not_due_is_refused_inside_a_transaction_which_is_not_committed() {
    let database = database_with_ledger();
    let (mut conn, job) = (database.connect(), done(&database));
    conn.batch_execute("CREATE TABLE written (id INT) ENGINE = InnoDB").unwrap();
    let refused = conn.transaction(|conn| {
        conn.batch_execute("INSERT INTO written VALUES (1)")?;
        run(&job, conn)
    });
    assert!(matches!(refused, Err(JobError::Lock(NamedLockError::OpenTransaction { .. }))), "{refused:?}");
    assert_eq!(number(&mut conn, "SELECT COUNT(*) AS number FROM written"), Some(0));
}

/// In the transaction, the row would still be there.
#[test]
fn a_job_that_was_made_due_by_hand_runs_also_in_a_transaction_that_raw_sql_has_begun_before() {
    let database = database_with_ledger();
    for begin in ["BEGIN", "SET autocommit = 0"] {
        let (mut conn, job) = (database.connect(), done(&database));
        conn.batch_execute(begin).unwrap();
        let rows = format!("SELECT COUNT(*) AS number FROM named_lock_ledger WHERE job = '{}'", job.name());
        assert_eq!(number(&mut conn, &rows), Some(1));
        database
            .connect()
            .batch_execute(&format!("DELETE FROM named_lock_ledger WHERE job = '{}'", job.name()))
            .unwrap();
        assert_eq!(number(&mut conn, &rows), Some(1), "{begin}: as of its beginning");
        assert_eq!(run(&job, &mut conn).unwrap(), RAN, "{begin}");
    }
}

/// Until its end is committed, it may still be undone.
#[test]
fn a_run_whose_end_is_written_but_not_committed_is_busy() {
    let database = database_with_ledger();
    for isolation in ["REPEATABLE READ", "READ UNCOMMITTED"] {
        let (mut conn, job) = (database.connect(), job("uncommitted").at_most_every(HOUR));
        conn.batch_execute(&format!("SET SESSION TRANSACTION ISOLATION LEVEL {isolation}")).unwrap();
        let outcome = job.run(&mut database.connect(), |there| {
            there.batch_execute("BEGIN")?;
            there.batch_execute(&format!(
                "UPDATE named_lock_ledger SET ended_at = UTC_TIMESTAMP(6) WHERE job = '{}'",
                job.name()
            ))?;
            let here = run(&job, &mut conn)?;
            assert!(matches!(here, JobOutcome::Busy(Some(_))), "{isolation}: {here:?}");
            Ok::<_, JobError>(there.batch_execute("ROLLBACK")?)
        });
        assert_eq!(outcome.unwrap(), RAN, "{isolation}");
        assert!(is_not_due(&run(&job, &mut conn).unwrap()), "{isolation}");
    }
}

/// Two for the look, and three under the lock.
#[test]
fn sessions_that_read_what_is_not_committed_ask_under_the_lock() {
    let database = database_with_ledger();
    let (mut conn, job) = (database.connect(), done(&database));
    conn.batch_execute("SET SESSION TRANSACTION ISOLATION LEVEL READ UNCOMMITTED").unwrap();
    let look = |conn: &mut MysqlConnection| assert!(is_not_due(&run(&job, conn).unwrap()));
    look(&mut conn);
    assert_eq!(counted(&mut conn, look), 5);
}

/// Whether it still runs, only the lock can tell.
#[test]
fn after_a_run_that_never_ended_the_job_is_asked_for_under_the_lock() {
    let database = database_with_ledger();
    let job = job("never_ended").at_most_every(HOUR).retry_abandoned_after(HOUR);
    abandon(&job, &database);
    let mut conn = database.connect();
    let look = |conn: &mut MysqlConnection| assert!(is_not_due(&run(&job, conn).unwrap()));
    look(&mut conn);
    assert_eq!(counted(&mut conn, look), 5);
    assert_eq!(database.status(&job).state, JobState::Abandoned);
}

#[test]
fn many_that_ask_at_once_are_never_in_each_others_way() {
    let database = database_with_ledger();
    let job = done(&database);
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let mut conn = database.connect();
                for _ in 0..50 {
                    let outcome = run(&job, &mut conn).unwrap();
                    assert!(is_not_due(&outcome), "{outcome:?}");
                }
            });
        }
    });
}
