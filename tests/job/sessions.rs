//! Sessions whose settings are not the usual ones.

use diesel::{Connection, connection::SimpleConnection};
use diesel_named_lock::job::{JobError, JobOutcome, JobState, SingletonJob};

use testkit::world::*;

use crate::database::*;

const SETTINGS: [&str; 17] = [
    "SET NAMES latin1",
    "SET NAMES ascii",
    "SET NAMES gbk",
    "SET NAMES sjis",
    "SET character_set_connection = ucs2",
    "SET NAMES gbk, character_set_connection = ucs2",
    "SET character_set_client = latin1",
    "SET character_set_connection = latin1",
    "SET character_set_results = latin1",
    "SET sql_mode = ''",
    "SET sql_mode = 'ANSI,NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH,STRICT_ALL_TABLES'",
    "SET sql_safe_updates = 1",
    "SET sql_select_limit = 1",
    "SET time_zone = '+09:45'",
    "SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE",
    "SET autocommit = 0",
    "SET completion_type = 'CHAIN'",
];

/// Those of MariaDB only.
const SETTINGS_OF_MARIADB: [&str; 2] =
    ["SET sql_mode = 'EMPTY_STRING_IS_NULL'", "SET /*M!100618 innodb_snapshot_isolation = 1, */ autocommit = 0"];

fn settings() -> impl Iterator<Item = &'static str> {
    SETTINGS.into_iter().chain(SETTINGS_OF_MARIADB.into_iter().filter(|_| !is_mysql()))
}

/// With a name, a key and an error that `latin1` can't hold.
#[test]
fn a_job_is_the_same_whatever_the_session_is_set_to() {
    const ERROR: &str = "kein Papier in Fach é店🔒";

    let (database, name) = (database_with_ledger(), fresh("odd"));
    for (number, setting) in settings().enumerate() {
        let (mut odd, mut usual) = (database.connect(), database.connect());
        odd.batch_execute(setting).unwrap();
        let job = SingletonJob::new(format!("{name}{number}é店")).unwrap().at_most_every(HOUR).once_for("clé店");
        let outcome: Result<JobOutcome<()>, Box<dyn std::error::Error>> = job.run(&mut odd, |odd| {
            for conn in [odd, &mut usual] {
                let state = job.status(conn)?.map(|last| last.state);
                assert_eq!(state, Some(JobState::Running), "{setting}");
            }
            Err(ERROR.into())
        });
        assert_eq!(outcome.unwrap_err().to_string(), ERROR, "{setting}");
        for conn in [&mut odd, &mut usual] {
            let Some(last) = job.status(conn).unwrap() else { panic!("{setting}: no run") };
            let JobState::Failed { error, .. } = last.state else { panic!("{setting}: {:?}", last.state) };
            assert_eq!((last.host, &*error), (host(), ERROR), "{setting}");
        }
        assert_eq!(run(&job, &mut odd).unwrap(), RAN, "{setting}: again, for it has failed");
        for conn in [&mut odd, &mut usual] {
            assert_eq!(run(&job, conn).unwrap(), NEVER_AGAIN, "{setting}");
            let other_key = run(&job.clone().once_for("b"), conn).unwrap();
            assert!(matches!(other_key, JobOutcome::NotDue { next: Some(_) }), "{setting}: {other_key:?}");
        }
    }
}

/// What is not recorded would be taken for abandoned, and be due at once.
#[test]
fn a_failure_keeps_its_slot_whatever_the_text_of_its_error() {
    let (database, job) = (database_with_ledger(), job("keeps").at_most_every(HOUR).no_retry_after_failure());
    let mut conn = database.connect();
    conn.batch_execute("SET NAMES latin1").unwrap();
    let failed = job.run(&mut conn, |_| Err::<(), Box<dyn std::error::Error>>("店".repeat(1000).into()));
    assert!(failed.is_err());
    let second = job.run(&mut conn, |_| Ok::<_, JobError>(())).unwrap();
    assert!(matches!(second, JobOutcome::NotDue { .. }), "{second:?}");
}

/// As of whose beginning it would seem that the job has not run.
#[test]
fn what_others_have_run_is_seen_in_a_transaction_that_raw_sql_has_begun_before() {
    let database = database_with_ledger();
    let newer_rows_are_errors = "SET /*M!100618 innodb_snapshot_isolation = 1, */ @unused = 1; BEGIN";
    for begin in ["BEGIN", "SET autocommit = 0", newer_rows_are_errors] {
        if begin == newer_rows_are_errors && is_mysql() {
            continue;
        }
        let (mut conn, job) = (database.connect(), job("stale").at_most_every(HOUR));
        conn.batch_execute(begin).unwrap();
        assert_eq!(number(&mut conn, "SELECT COUNT(*) AS number FROM named_lock_ledger WHERE runs = 0"), Some(0));
        assert_eq!(run(&job, &mut database.connect()).unwrap(), RAN);
        let second = run(&job, &mut conn).unwrap();
        assert!(matches!(second, JobOutcome::NotDue { .. }), "{begin}: {second:?}");
    }
}

/// They would wait for each other in a circle, where each keeps what it has locked.
#[test]
fn jobs_in_test_transactions_do_not_wait_for_each_other() {
    let database = database_with_ledger();
    let mut conns = [database.connect(), database.connect()];
    for conn in &mut conns {
        conn.batch_execute("SET SESSION innodb_lock_wait_timeout = 1").unwrap();
        conn.begin_test_transaction().unwrap();
    }
    for _ in 0..2 {
        for conn in &mut conns {
            assert_eq!(run(&job("in_test").at_most_every(HOUR).once_for(1), conn).unwrap(), RAN);
        }
    }
}

/// The server would leave out every row.
#[test]
fn the_status_is_told_in_a_session_that_asks_for_no_rows() {
    let (database, job) = (database_with_ledger(), job("no_rows").at_most_every(HOUR));
    let mut conn = database.connect();
    assert_eq!(run(&job, &mut conn).unwrap(), RAN);
    conn.batch_execute("SET sql_select_limit = 0").unwrap();
    assert!(job.status(&mut conn).unwrap().is_some());
}

fn host() -> String {
    gethostname::gethostname().to_string_lossy().into_owned()
}
