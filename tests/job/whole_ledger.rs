//! The runs of all jobs, read at once.

use diesel::connection::SimpleConnection;
use diesel_named_lock::job::{JobError, JobOutcome, JobState, LedgerEntry, LedgerError, SingletonJob, read_ledger};
use testkit::striking::Striking;

use crate::database::*;

fn entries(database: &Database) -> Vec<LedgerEntry> {
    read_ledger(&mut database.connect()).expect("the ledger")
}

#[test]
fn it_is_the_last_run_of_each_job_and_of_each_key_as_their_status_says_it() {
    let database = database_with_ledger();
    assert_eq!(entries(&database), []);
    let mut conn = database.connect();
    let named = |name: &str| SingletonJob::new(name).expect("a valid name");
    let (abandoned, failed, succeeded) = (job("1 abandoned").at_most_every(HOUR), job("2 failed"), named("3 clé店"));
    abandon(&abandoned, &database);
    fail(&failed.clone().once_for("a"), &mut conn);
    assert_eq!(run(&failed.clone().once_for("b"), &mut conn).unwrap(), RAN);
    assert_eq!(run(&succeeded.clone().once_for("clé店"), &mut conn).unwrap(), RAN);

    let expected = [
        (abandoned.clone(), None),
        (failed.clone(), None),
        (failed.clone().once_for("a"), Some("a")),
        (failed.clone().once_for("b"), Some("b")),
        (succeeded.clone(), None),
        (succeeded.clone().once_for("clé店"), Some("clé店")),
    ];
    let found = entries(&database);
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for (entry, (job, key)) in found.iter().zip(expected) {
        assert_eq!((&*entry.job, entry.key.as_deref()), (job.name().as_str(), key));
        assert_eq!(entry.status, database.status(&job));
    }
    assert_eq!(found[0].status.state, JobState::Abandoned);
}

#[test]
fn a_run_that_goes_on_is_running_for_the_job_and_for_its_key() {
    let database = database_with_ledger();
    let job = job("running").once_for(1);
    let inside = job.run(&mut database.connect(), |_| Ok::<_, JobError>(entries(&database)));
    let JobOutcome::Ran(inside) = inside.unwrap() else { panic!("it never ran") };
    let states: Vec<_> = inside.iter().map(|entry| (entry.key.as_deref(), &entry.status.state)).collect();
    assert_eq!(states, [(None, &JobState::Running), (Some("1"), &JobState::Running)]);
}

#[test]
fn it_is_whole_whatever_limit_the_session_has_and_also_after_a_strike() {
    let database = database_with_ledger();
    let mut conn = database.connect();
    for number in 0..3 {
        assert_eq!(run(&job("many").once_for(number), &mut conn).unwrap(), RAN);
    }
    conn.batch_execute("SET sql_select_limit = 1").unwrap();
    assert_eq!(read_ledger(&mut conn).unwrap().len(), 6);

    let proxy = Striking::to(&database.tcp_url());
    let mut conn = diesel::Connection::establish(proxy.url()).expect("a connection");
    proxy.strike(2, "FROM named_lock_ledger");
    assert_eq!(read_ledger::<diesel::MysqlConnection>(&mut conn).unwrap().len(), 6);
    assert_eq!(proxy.struck(), 2);
}

#[test]
fn a_name_that_was_written_there_by_hand_and_is_none_is_shown_too() {
    let database = database_with_ledger();
    let insert = "INSERT INTO named_lock_ledger VALUES
                  (x'ff', x'', 1, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6), NULL, NULL, 'host', 1, 1),
                  (REPEAT('x', 100), x'fe', 1, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6), NULL, NULL, 'host', 1, 1)";
    database.connect().batch_execute(insert).unwrap();
    let found = entries(&database);
    let names: Vec<_> = found.iter().map(|entry| (&*entry.job, entry.key.as_deref())).collect();
    assert_eq!(names, [(&*"x".repeat(100), Some("\u{fffd}")), ("\u{fffd}", None)]);
    assert!(found.iter().all(|entry| entry.status.state == JobState::Abandoned), "{found:?}");
}

#[test]
fn without_the_table_the_error_says_so() {
    let database = database();
    let error = read_ledger(&mut database.connect()).unwrap_err();
    assert!(matches!(error, LedgerError::NoTable { .. }), "{error:?}");
    assert!(error.to_string().contains("no table `named_lock_ledger`"), "{error}");
}
