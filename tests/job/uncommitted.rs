//! What raw SQL leaves uncommitted, and sessions without autocommit.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    thread,
    time::Duration,
};

use diesel::{connection::SimpleConnection, prelude::*};
use diesel_named_lock::job::{JobError, JobOutcome, JobState};
use test_server::Server;

use testkit::world::*;

use crate::{
    database::*,
    machine::{go_in_turn, machine_at},
};

fn uncommitted(database: &Database) -> MysqlConnection {
    let mut conn = database.connect();
    conn.batch_execute("SET autocommit = 0").unwrap();
    conn
}

fn with_table(database: &Database) {
    database.connect().batch_execute("CREATE TABLE written (id INT)").unwrap();
}

fn written(database: &Database) -> Option<i64> {
    number(&mut database.connect(), "SELECT COUNT(*) AS number FROM written")
}

#[test]
fn a_job_for_a_key_runs_once_in_sessions_without_autocommit() {
    let (database, job) = (database_with_ledger(), job("off").once_for(7));
    let outcomes = [(); 3].map(|()| run(&job, &mut uncommitted(&database)).unwrap());
    assert_eq!(outcomes, [RAN, NEVER_AGAIN, NEVER_AGAIN]);
    assert_eq!(database.status(&job).runs, 1);
}

#[test]
fn of_three_machines_on_a_server_without_autocommit_one_runs_the_job() {
    let server = Server::start(server().product()).expect("a server");
    let mut conn = MysqlConnection::establish(server.url()).expect("a connection");
    conn.batch_execute(UP).expect("the migration");
    conn.batch_execute("SET GLOBAL autocommit = 0").expect("a setting");
    let job = job("global");
    let mut machines = [(); 3].map(|()| machine_at(server.url(), &job, Duration::ZERO));
    assert_eq!(go_in_turn(&mut machines), ["working", "ran", "not due", "not due"]);
}

/// Rows that stay locked would let the other one wait until `innodb_lock_wait_timeout`.
#[test]
fn a_session_without_autocommit_locks_no_row_of_the_ledger_when_the_job_is_not_due() {
    let (database, job) = (database_with_ledger(), job("not_due"));
    let mut waiting = uncommitted(&database);
    waiting.batch_execute("SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE").unwrap();
    let hourly = job.clone().at_most_every(HOUR);
    assert_eq!(run(&hourly, &mut waiting).unwrap(), RAN);
    assert_ne!(run(&hourly, &mut waiting).unwrap(), RAN);
    let mut other = database.connect();
    other.batch_execute("SET SESSION innodb_lock_wait_timeout = 1").unwrap();
    assert_eq!(run(&job.once_for(1), &mut other).unwrap(), RAN);
}

#[test]
fn what_work_that_succeeds_leaves_uncommitted_is_committed_with_its_end() {
    let database = database_with_ledger();
    with_table(&database);
    for (runs, before) in [(1, "BEGIN"), (2, "SET autocommit = 0")] {
        let (mut conn, job) = (database.connect(), job("left").at_most_every(HOUR));
        let outcome = job.run(&mut conn, |conn| {
            conn.batch_execute(before)?;
            conn.batch_execute("INSERT INTO written VALUES (1)")?;
            Ok::<_, JobError>(())
        });
        drop(conn);
        assert_eq!(outcome.unwrap(), RAN, "{before}");
        assert!(matches!(database.status(&job).state, JobState::Succeeded { .. }), "{before}");
        assert_eq!(written(&database), Some(runs), "{before}");
    }
}

#[test]
fn what_work_that_fails_leaves_uncommitted_is_rolled_back_and_the_failure_is_recorded() {
    let database = database_with_ledger();
    with_table(&database);
    let leave = |conn: &mut MysqlConnection, before: &str| {
        conn.batch_execute(before).and_then(|()| conn.batch_execute("INSERT INTO written VALUES (1)")).unwrap();
    };
    for before in ["BEGIN", "SET autocommit = 0"] {
        let (mut conn, failing, panicking) = (database.connect(), job("fails"), job("panics"));
        let (failing, panicking) = (failing.at_most_every(HOUR), panicking.at_most_every(HOUR));
        let failed = failing.run(&mut conn, |conn| {
            leave(conn, before);
            Err::<(), _>(JobError::from(diesel::result::Error::NotFound))
        });
        assert!(failed.is_err(), "{before}: {failed:?}");
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            panicking.run(&mut conn, |conn| -> Result<(), JobError> {
                leave(conn, before);
                panic!("on purpose")
            })
        }));
        assert!(panicked.is_err(), "{before}");
        drop(conn);
        for job in [failing, panicking] {
            assert!(matches!(database.status(&job).state, JobState::Failed { .. }), "{before}: {job:?}");
        }
        assert_eq!(written(&database), Some(0), "{before}");
    }
}

#[test]
fn a_transaction_that_raw_sql_has_begun_before_is_committed_before_the_work() {
    let (database, job) = (database_with_ledger(), job("before").at_most_every(HOUR));
    with_table(&database);
    let mut conn = database.connect();
    conn.batch_execute("BEGIN").and_then(|()| conn.batch_execute("INSERT INTO written VALUES (1)")).unwrap();
    let outcome = job.run(&mut conn, |_| Ok::<_, JobError>((written(&database), database.status(&job).state)));
    assert_eq!(outcome.unwrap(), JobOutcome::Ran((Some(1), JobState::Running)));
}

/// Not that connection's own transaction: the closure has swapped it in.
#[test]
fn the_transaction_of_a_connection_that_failing_work_swaps_in_is_not_rolled_back() {
    let (database, job) = (database_with_ledger(), job("swapped_in").at_most_every(HOUR));
    with_table(&database);
    let (mut conn, mut other) = (database.connect(), database.connect());
    other.batch_execute("BEGIN").and_then(|()| other.batch_execute("INSERT INTO written VALUES (1)")).unwrap();
    let outcome = job.run(&mut conn, |conn| {
        std::mem::swap(conn, &mut other);
        Err::<(), _>(JobError::from(diesel::result::Error::NotFound))
    });
    assert!(outcome.is_err(), "{outcome:?}");
    assert_eq!(number(&mut conn, "SELECT COUNT(*) AS number FROM written"), Some(1));
    assert_eq!(written(&database), Some(0));
}

/// A commit that waits for a backup and is killed may have been a rollback. On a server of its own, since all others wait, too.
#[test]
fn what_the_work_left_uncommitted_is_there_exactly_if_the_job_is_said_to_have_run() {
    let server = Server::start(server().product()).expect("a server");
    let connect = || MysqlConnection::establish(server.url()).expect("a connection");
    let (mut conn, mut backup, mut onlooker) = (connect(), connect(), connect());
    conn.batch_execute(UP).and_then(|()| conn.batch_execute("CREATE TABLE written (id INT)")).unwrap();
    let (block, end): (&[&str], _) = match is_mysql() {
        true => (&["FLUSH TABLES WITH READ LOCK"], "UNLOCK TABLES"),
        false => (
            &["BACKUP STAGE START", "BACKUP STAGE FLUSH", "BACKUP STAGE BLOCK_DDL", "BACKUP STAGE BLOCK_COMMIT"],
            "BACKUP STAGE END",
        ),
    };
    let (own, job) = (id(&mut conn), job("backup").at_most_every(HOUR));
    let outcome = thread::scope(|scope| {
        job.run(&mut conn, |conn| {
            conn.batch_execute("BEGIN").and_then(|()| conn.batch_execute("INSERT INTO written VALUES (1)"))?;
            block.iter().for_each(|statement| backup.batch_execute(statement).unwrap());
            scope.spawn(|| {
                let waits = format!(
                    "SELECT COUNT(*) AS number FROM {}
                     WHERE ID = {own} AND (INFO LIKE 'COMMIT%' OR INFO LIKE 'UPDATE%')",
                    process_list()
                );
                wait_until("the end to wait for the backup", || number(&mut onlooker, &waits) == Some(1));
                onlooker.batch_execute(&format!("KILL QUERY {own}")).unwrap();
                backup.batch_execute(end).unwrap();
            });
            Ok::<_, JobError>(())
        })
    });
    println!("{outcome:?}");
    drop(conn);
    let rows = number(&mut connect(), "SELECT COUNT(*) AS number FROM written");
    let state = job.status(&mut connect()).unwrap().unwrap().state;
    match outcome {
        Ok(outcome) => {
            assert_eq!((outcome, rows), (RAN, Some(1)));
            assert!(matches!(state, JobState::Succeeded { .. }), "{state:?}");
        }
        Err(JobError::NotRecorded { .. }) => assert_eq!((state, rows), (JobState::Abandoned, Some(0))),
        Err(other) => panic!("{other:?}"),
    }
}

/// In none of these, the server lets the ledger be written.
#[test]
fn an_end_that_the_session_can_not_write_any_more_is_not_recorded_and_told() {
    let database = database_with_ledger();
    with_table(&database);
    let xa = fresh("xa");
    let xa = format!("XA START '{xa}'; INSERT INTO written VALUES (1); XA END '{xa}'");
    for left in [
        "LOCK TABLES written WRITE",
        &xa,
        "START TRANSACTION READ ONLY",
        "SET TRANSACTION READ ONLY; BEGIN",
        "SET SESSION TRANSACTION READ ONLY",
        "USE mysql",
    ] {
        let (mut conn, job) = (database.connect(), job("left").at_most_every(HOUR));
        let outcome = job.run(&mut conn, |conn| Ok::<_, JobError>(conn.batch_execute(left)?));
        drop(conn);
        assert!(matches!(outcome, Err(JobError::NotRecorded { .. })), "{left}: {outcome:?}");
        assert_free_soon(job.name().as_str());
        assert_eq!(database.status(&job).state, JobState::Abandoned, "{left}");
    }
}
