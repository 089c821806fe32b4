//! What can't be: refused before any I/O, or with a word on what to do.

use std::time::Duration;

use diesel::{connection::SimpleConnection, prelude::*};
use diesel_named_lock::{
    InvalidName, NamedLockError,
    job::{JobError, SingletonJob},
};

use testkit::world::*;

use crate::database::*;

fn bad_jobs() -> Vec<SingletonJob> {
    let job = job("bad");
    let too_long = SingletonJob::MAX_INTERVAL + Duration::from_nanos(1);
    vec![
        job.clone().at_most_every(Duration::ZERO),
        job.clone().at_most_every(too_long),
        job.clone().at_most_every(Duration::MAX),
        job.clone().at_most_every(HOUR).retry_abandoned_after(too_long),
        job.clone().once_for(""),
        job.clone().once_for("x".repeat(SingletonJob::MAX_KEY_BYTES + 1)),
        job.once_for("é".repeat(128)),
    ]
}

/// No statement is sent: the connection has been ended, and nobody notices.
#[test]
fn bad_options_are_refused_before_any_io() {
    let mut conn = connect();
    let own = id(&mut conn);
    kill(own);
    wait_until("the killed session to be gone", || !is_alive(own));
    for bad in bad_jobs() {
        let refused = bad.run(&mut conn, |_| -> Result<(), JobError> { unreachable!("refused") }).unwrap_err();
        let expected = match &refused {
            JobError::InvalidInterval { .. } => "invalid interval",
            JobError::InvalidRetryTime { .. } => "for `retry_abandoned_after`: must be at most 1000 years",
            JobError::InvalidKey { key, .. } if key.is_empty() => "key \"\" has 0 bytes: must be from 1 to 255",
            JobError::InvalidKey { .. } => "shorten it",
            other => panic!("{bad:?}: {other:?}"),
        };
        assert!(refused.to_string().contains(expected), "{bad:?}: {refused}");
        assert!(refused.to_string().contains(bad.name().as_str()), "{refused}");
        assert_eq!(bad.status(&mut conn).unwrap_err().to_string(), refused.to_string());
    }
}

#[test]
fn bad_options_leave_the_connection_usable() {
    let mut conn = connect();
    for bad in bad_jobs() {
        assert!(run(&bad, &mut conn).is_err());
        assert_eq!(run(&job("good"), &mut conn).unwrap(), RAN);
    }
}

#[test]
fn the_longest_interval_is_accepted() {
    let database = database_with_ledger();
    let (mut conn, job) = (database.connect(), job("longest").at_most_every(SingletonJob::MAX_INTERVAL));
    let start = set_clock(&mut conn, Duration::ZERO);
    assert_eq!(run(&job, &mut conn).unwrap(), RAN);
    assert_eq!(run(&job, &mut conn).unwrap(), not_before(start + SingletonJob::MAX_INTERVAL));
}

#[test]
fn the_names_of_jobs_are_those_of_locks() {
    for bad in ["", &"x".repeat(65), "job🔒", "nul\0"] {
        let refused = SingletonJob::new(bad);
        assert!(matches!(refused, Err(JobError::Lock(NamedLockError::InvalidName(_)))), "{bad:?}: {refused:?}");
    }
}

#[test]
fn without_its_table_a_job_says_which_migration_to_run_and_has_not_run() {
    let database = database();
    let (mut conn, job) = (database.connect(), job("no_table").at_most_every(HOUR));
    for _ in 0..2 {
        let refused = job.run(&mut conn, |_| -> Result<(), JobError> { unreachable!("no ledger") }).unwrap_err();
        assert!(matches!(refused, JobError::NoLedger { .. }), "{refused:?}");
        assert!(refused.to_string().contains("create_named_lock_ledger"), "{refused}");
        assert!(matches!(job.status(&mut conn), Err(JobError::NoLedger { .. })));
    }
    assert_free(job.name().as_str());
    conn.transaction(|conn| diesel::sql_query("SELECT 1").execute(conn)).expect("a working connection");
}

#[test]
fn without_a_database_or_the_right_to_read_the_ledger_there_is_none() {
    let database = database_with_ledger();
    let account = fresh("few").replace('_', "");
    // MariaDB's account names have up to 80 characters, MySQL's 32.
    let account = &account[account.len().saturating_sub(32)..];
    let create =
        format!("CREATE USER '{account}'@'localhost'; GRANT INSERT ON {}.* TO '{account}'@'localhost'", database.name);
    connect().batch_execute(&create).expect("an account");
    let mut few = MysqlConnection::establish(&database.url.replacen("root", account, 1)).expect("a connection");
    let mut none = MysqlConnection::establish(&server().url().replacen("/test", "", 1)).expect("a connection");
    for conn in [&mut few, &mut none] {
        let job = job("unreadable").at_most_every(HOUR);
        assert!(matches!(run(&job, conn), Err(JobError::NoLedger { .. })));
        assert!(matches!(job.status(conn), Err(JobError::NoLedger { .. })));
        conn.transaction(|conn| diesel::sql_query("SELECT 1").execute(conn)).expect("a working connection");
    }
    connect().batch_execute(&format!("DROP USER '{account}'@'localhost'")).expect("the account's end");
}

#[test]
fn a_ledger_that_can_not_be_read_for_another_reason_is_not_said_to_be_missing() {
    let database = database_with_ledger();
    let mut conn = database.connect();
    diesel::sql_query("ALTER TABLE named_lock_ledger DROP COLUMN host").execute(&mut conn).unwrap();
    let refused = job("broken").at_most_every(HOUR).run(&mut conn, |_| -> Result<(), JobError> { unreachable!() });
    assert!(matches!(refused, Err(JobError::Ledger { .. })), "{refused:?}");
}

#[test]
fn a_start_that_can_not_be_recorded_means_that_the_job_has_not_run() {
    let database = database_with_ledger();
    let mut conn = database.connect();
    diesel::sql_query("SET SESSION TRANSACTION READ ONLY").execute(&mut conn).unwrap();
    let refused = job("read_only").at_most_every(HOUR).run(&mut conn, |_| -> Result<(), JobError> { unreachable!() });
    assert!(matches!(refused, Err(JobError::Ledger { .. })), "{refused:?}");
}

#[test]
fn a_job_inside_a_transaction_is_refused() {
    let database = database_with_ledger();
    let (mut conn, job) = (database.connect(), job("inside").at_most_every(HOUR));
    let refused = conn.transaction(|conn| run(&job, conn));
    assert!(matches!(refused, Err(JobError::Lock(NamedLockError::OpenTransaction { .. }))), "{refused:?}");
}

#[test]
fn errors_of_jobs_travel_inside_diesels_and_come_out_as_they_were() {
    let refused: QueryResult<_> = job("travels").once_for("").run(&mut connect(), |_| Ok(()));
    assert!(matches!(JobError::from(refused.unwrap_err()), JobError::InvalidKey { .. }));
    let lock = JobError::from(NamedLockError::from(InvalidName::Empty));
    let through = JobError::from(diesel::result::Error::from(lock));
    assert!(matches!(through, JobError::Lock(NamedLockError::InvalidName(InvalidName::Empty))), "{through:?}");
}
