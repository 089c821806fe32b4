//! Jobs on async connections. All in runtimes of several threads: else, at the end of a test, a connection that was dropped is not
//! closed before `DROP DATABASE` waits for its transaction.

use std::{fmt, time::Duration};

use diesel::{connection::SimpleConnection as _, result::Error, sql_query, sql_types::Text};
use diesel_async::{AsyncMysqlConnection, RunQueryDsl, SimpleAsyncConnection};
use diesel_named_lock::{
    NamedLockError, job,
    nonblocking::{
        NamedLockConnection,
        job::{JobError, JobOutcome, JobState, JobStatus, LedgerError, SingletonJob, read_ledger},
    },
};
use testkit::{
    database::{Database, database},
    striking::Striking,
    world::{assert_free, assert_free_soon, fresh, hold_elsewhere, is_alive, kill, wait_until},
};

use crate::{
    stage::{connect_slowly_to, connect_to, is_marked, polled},
    world::{LONG, begin, drop_once, id, number},
};

const UP: &str = include_str!("../../migrations/00000000000002-namedlock_create_named_lock_ledger/up.sql");
const HOUR: Duration = Duration::from_secs(3600);
const RAN: JobOutcome<()> = JobOutcome::Ran(());
const NEVER_AGAIN: JobOutcome<()> = JobOutcome::NotDue { next: None };

fn database_with_ledger() -> Database {
    let database = database();
    database.connect().batch_execute(UP).expect("the migration");
    database
}

fn hourly(what: &str) -> SingletonJob {
    SingletonJob::new(fresh(what)).expect("a valid name").at_most_every(HOUR)
}

/// Runs the job with work that does nothing but succeed.
async fn run<C: NamedLockConnection>(job: &SingletonJob, conn: &mut C) -> Result<JobOutcome<()>, JobError> {
    job.run(conn, async |_| Ok(())).await
}

/// The last run, as a session of the blocking world sees it.
fn last_run(database: &Database, job: &SingletonJob) -> JobStatus {
    job::SingletonJob::from(job.clone()).status(&mut database.connect()).expect("the ledger").expect("a run")
}

fn error_of(database: &Database, job: &SingletonJob) -> String {
    match last_run(database, job).state {
        JobState::Failed { error, .. } => error,
        state => panic!("{state:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_tasks_and_blocking_callers_one_runs_the_job() {
    let (database, job) = (database_with_ledger(), hourly("once"));
    let mut conn = connect_to(&database.tcp_url()).await;
    assert_eq!(job.status(&mut conn).await.unwrap(), None);
    let own = id(&mut conn).await;
    let spawned = tokio::spawn({
        let job = job.clone();
        async move {
            let inside = job.run(&mut conn, async |conn| job.status(conn).await).await.unwrap();
            (inside, conn)
        }
    });
    let (inside, mut conn) = spawned.await.unwrap();
    let JobOutcome::Ran(Some(inside)) = inside else { panic!("{inside:?}") };
    assert_eq!((inside.state, inside.runs, inside.connection_id.get()), (JobState::Running, 1, own));
    let blocking = job::SingletonJob::from(job.clone()).run(&mut database.connect(), |_| Ok::<_, JobError>(()));
    for second in [blocking.unwrap(), run(&job, &mut conn).await.unwrap()] {
        assert!(matches!(second, JobOutcome::NotDue { next: Some(_) }), "{second:?}");
    }
    assert!(matches!(last_run(&database, &job).state, JobState::Succeeded { .. }));
    assert_eq!(run(&job.clone().once_for("a"), &mut conn).await.unwrap(), run(&job, &mut conn).await.unwrap());
    assert_free(job.name().as_str());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_is_busy_while_another_session_holds_its_lock() {
    let (database, job) = (database_with_ledger(), hourly("busy"));
    let elsewhere = hold_elsewhere(job.name().as_str());
    match run(&job, &mut connect_to(&database.tcp_url()).await).await.unwrap() {
        JobOutcome::Busy(Some(holder)) => assert_eq!(holder.connection_id.get(), elsewhere.id),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_for_a_key_runs_once_and_again_if_it_failed() {
    let (database, job) = (database_with_ledger(), SingletonJob::new(fresh("key")).unwrap().once_for(7));
    let mut conn = connect_to(&database.tcp_url()).await;
    let failed = job.run(&mut conn, async |_| Err::<(), _>(Error::NotFound)).await;
    assert_eq!(failed, Err(Error::NotFound));
    assert_eq!(error_of(&database, &job), Error::NotFound.to_string());
    assert_eq!(run(&job, &mut conn).await.unwrap(), RAN);
    assert_eq!(run(&job, &mut conn).await.unwrap(), JobOutcome::NotDue { next: None });
}

/// An error that belongs to nobody else.
#[derive(Debug, PartialEq)]
struct NoPaper;

impl fmt::Display for NoPaper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no paper")
    }
}

impl From<JobError> for NoPaper {
    fn from(error: JobError) -> Self {
        panic!("{error}")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_comes_back_as_it_was_and_what_was_uncommitted_is_rolled_back() {
    let (database, job) = (database_with_ledger(), hourly("error"));
    let mut conn = connect_to(&database.tcp_url()).await;
    conn.batch_execute("CREATE TABLE written (id INT)").await.unwrap();
    let work = async |conn: &mut AsyncMysqlConnection, outcome| {
        for statement in ["BEGIN", "INSERT INTO written VALUES (1)"] {
            conn.batch_execute(statement).await.unwrap();
        }
        outcome
    };
    let failed = job.run(&mut conn, async |conn| work(conn, Err::<(), _>(NoPaper)).await).await;
    assert_eq!((failed, error_of(&database, &job).as_str()), (Err(NoPaper), "no paper"));
    let mut other = connect_to(&database.tcp_url()).await;
    assert_eq!(number(&mut other, "SELECT COUNT(*) AS number FROM written").await, 0);
    let ran = job.run(&mut conn, async |conn| work(conn, Ok::<_, NoPaper>(())).await).await;
    assert_eq!(ran, Ok(RAN));
    assert_eq!(number(&mut other, "SELECT COUNT(*) AS number FROM written").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_is_recorded_as_a_failure_and_goes_on() {
    let (database, job) = (database_with_ledger(), hourly("panic"));
    let task = tokio::spawn({
        let (url, job) = (database.tcp_url(), job.clone());
        async move {
            let mut conn = connect_to(&url).await;
            let run = job.run(&mut conn, async |conn| -> Result<(), JobError> {
                begin(conn).await?;
                std::panic::panic_any(String::from("out of paper"))
            });
            run.await
        }
    });
    let panic = task.await.unwrap_err().into_panic();
    assert_eq!(panic.downcast_ref::<String>().map(String::as_str), Some("out of paper"));
    assert_eq!(error_of(&database, &job), "panicked: out of paper");
    assert_free(job.name().as_str());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_left_open_is_rolled_back_and_recorded() {
    let (database, job) = (database_with_ledger(), hourly("open"));
    let mut conn = connect_to(&database.tcp_url()).await;
    let outcome = job.run(&mut conn, async |conn| Ok::<_, JobError>(begin(conn).await?)).await;
    assert!(matches!(outcome, Err(JobError::Lock(NamedLockError::TransactionLeftOpen { .. }))), "{outcome:?}");
    assert!(error_of(&database, &job).contains("left a transaction open"));
    assert_eq!(run(&job, &mut conn).await.unwrap(), RAN);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_whose_session_is_killed_is_lost_and_shows_as_abandoned() {
    let (database, job) = (database_with_ledger(), hourly("killed"));
    let mut conn = connect_to(&database.tcp_url()).await;
    let outcome = job.run(&mut conn, async |conn| {
        let own = id(conn).await;
        kill(own);
        wait_until("the killed session to be gone", || !is_alive(own));
        Ok::<_, JobError>(())
    });
    let outcome = outcome.await;
    assert!(matches!(outcome, Err(JobError::Lock(NamedLockError::Lost { .. }))), "{outcome:?}");
    assert_eq!(last_run(&database, &job).state, JobState::Abandoned);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_ledger_a_job_says_so_before_the_work_and_one_that_needs_none_runs() {
    let (database, job) = (database(), hourly("no_ledger"));
    let mut conn = connect_to(&database.tcp_url()).await;
    let refused = run(&job, &mut conn).await;
    assert!(matches!(refused, Err(JobError::NoLedger { .. })), "{refused:?}");
    let too_long = run(&job.clone().at_most_every(Duration::MAX), &mut conn).await;
    assert!(matches!(too_long, Err(JobError::InvalidInterval { .. })), "{too_long:?}");
    let plain = SingletonJob::new(job.name()).unwrap();
    assert_eq!(run(&plain, &mut conn).await.unwrap(), RAN);
    let lost = plain.run(&mut conn, async |conn| {
        kill(id(conn).await);
        Ok::<_, JobError>(())
    });
    let lost = lost.await;
    assert!(matches!(lost, Err(JobError::Lock(NamedLockError::Lost { .. }))), "{lost:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_is_recorded_however_often_a_statement_of_the_ledger_is_struck() {
    let database = database_with_ledger();
    let proxy = Striking::to(&database.tcp_url());
    let mut conn = connect_to(proxy.url()).await;
    for (statement, times) in
        ["FROM named_lock_ledger", "INSERT INTO named_lock_ledger", "UPDATE named_lock_ledger", "COMMIT"]
            .into_iter()
            .flat_map(|statement| [1, 9].map(|times| (statement, times)))
    {
        let job = hourly("struck");
        proxy.strike(times, statement);
        assert_eq!(run(&job, &mut conn).await.unwrap(), RAN, "{statement} struck {times} times");
        assert_eq!(proxy.struck(), times, "{statement}");
        let last = last_run(&database, &job);
        assert!(matches!(last.state, JobState::Succeeded { .. }), "{statement} struck {times} times: {last:?}");
        assert_eq!((last.runs, last.connection_id.get()), (1, id(&mut conn).await), "{statement} struck {times} times");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_in_the_work_a_run_is_abandoned_and_its_lock_free() {
    let (database, job) = (database_with_ledger(), hourly("dropped"));
    let mut conn = connect_to(&database.tcp_url()).await;
    let begun = || matches!(job_state(&database, &job), Some(JobState::Running));
    let work = async |_: &mut AsyncMysqlConnection| {
        tokio::time::sleep(LONG).await;
        Ok::<_, JobError>(())
    };
    drop_once(job.run(&mut conn, work), "the start is recorded", begun).await;
    assert_free_soon(job.name().as_str());
    assert_eq!(last_run(&database, &job).state, JobState::Abandoned);
    let refused = run(&job, &mut conn).await;
    assert!(matches!(refused, Err(JobError::Lock(NamedLockError::Broken { .. }))), "{refused:?}");
    let mut other = connect_to(&database.tcp_url()).await;
    let later = run(&job.clone().retry_abandoned_after(HOUR), &mut other).await.unwrap();
    assert!(matches!(later, JobOutcome::NotDue { next: Some(_) }), "{later:?}");
    assert_eq!(run(&job, &mut other).await.unwrap(), RAN);
}

fn job_state(database: &Database, job: &SingletonJob) -> Option<JobState> {
    let last = job::SingletonJob::from(job.clone()).status(&mut database.connect()).expect("the ledger");
    last.map(|last| last.state)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_at_any_await_a_run_is_abandoned_or_none_unless_it_had_succeeded() {
    let (database, mut seen) = (database_with_ledger(), [0; 3]);
    for polls in 1.. {
        let (job, mut conn) = (hourly("at_any"), connect_slowly_to(&database.tcp_url()).await);
        let (own, mut has_worked) = (id(&mut conn).await, false);
        let outcome = polled(polls, {
            let has_worked = &mut has_worked;
            job.run(&mut conn, async move |_| {
                *has_worked = true;
                Ok::<_, JobError>(())
            })
        });
        if let Some(outcome) = outcome.await {
            assert_eq!(outcome.unwrap(), RAN);
            break;
        }
        let refused = run(&job, &mut conn).await;
        assert!(matches!(refused, Err(JobError::Lock(NamedLockError::Broken { .. }))), "{refused:?}");
        drop(conn);
        // What was sent is executed before the session is gone, or never.
        wait_until("the session to be gone", || !is_alive(own));
        let state = job_state(&database, &job);
        match &state {
            None => assert!(!has_worked, "after {polls} polls"),
            Some(JobState::Abandoned) => {}
            Some(JobState::Succeeded { .. }) => assert!(has_worked, "after {polls} polls"),
            Some(other) => panic!("after {polls} polls: {other:?}"),
        }
        let again = run(&job, &mut connect_to(&database.tcp_url()).await).await.unwrap();
        assert_eq!(again == RAN, !matches!(state, Some(JobState::Succeeded { .. })), "after {polls} polls: {again:?}");
        seen[state.map_or(0, |state| if state == JobState::Abandoned { 1 } else { 2 })] += 1;
    }
    assert!(seen.iter().all(|times| *times > 0), "no run, abandoned, succeeded: {seen:?}");
}

/// The application drops a query of its own in the closure, and continues.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_leaves_its_connection_out_of_step_is_lost_and_shows_as_abandoned() {
    let (database, job) = (database_with_ledger(), hourly("out_of_step"));
    let mut conn = connect_slowly_to(&database.tcp_url()).await;
    let outcome = job.run(&mut conn, async |conn| {
        assert_eq!(polled(1, number(conn, "SELECT 7 AS number")).await, None);
        Ok::<_, JobError>(())
    });
    let outcome = outcome.await;
    assert!(matches!(outcome, Err(JobError::Lock(NamedLockError::Lost { .. }))), "{outcome:?}");
    assert_free_soon(job.name().as_str());
    assert_eq!(last_run(&database, &job).state, JobState::Abandoned);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_whose_question_for_a_status_is_dropped_is_marked_broken() {
    let (database, job) = (database_with_ledger(), hourly("asked"));
    let mut conn = connect_slowly_to(&database.tcp_url()).await;
    assert!(polled(1, job.status(&mut conn)).await.is_none());
    assert!(is_marked(&mut conn));
}

#[derive(diesel::QueryableByName)]
struct Counter {
    #[diesel(sql_type = Text, column_name = Value)]
    value: String,
}

/// By the server's own counters: statements executed and prepared.
async fn round_trips(conn: &mut AsyncMysqlConnection) -> u64 {
    let query = sql_query("SHOW SESSION STATUS WHERE Variable_name IN ('Questions', 'Com_stmt_prepare')");
    let rows: Vec<Counter> = query.load(conn).await.unwrap();
    rows.iter().map(|row| row.value.parse::<u64>().unwrap()).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_takes_eleven_round_trips_and_one_that_is_not_due_three() {
    let database = database_with_ledger();
    let mut conn = connect_to(&database.tcp_url()).await;
    let job = SingletonJob::new(fresh("cost")).expect("a valid name");
    for (key, outcome, round_trips_of_run) in [(1, RAN, None), (2, RAN, Some(11)), (2, NEVER_AGAIN, Some(3))] {
        let (first, second) = (round_trips(&mut conn).await, round_trips(&mut conn).await);
        assert_eq!(run(&job.clone().once_for(key), &mut conn).await.unwrap(), outcome);
        let counted = round_trips(&mut conn).await - second - (second - first);
        assert_eq!(counted, round_trips_of_run.unwrap_or(counted), "{outcome:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_whole_ledger_is_that_of_the_blocking_world() {
    let (database, job) = (database_with_ledger(), hourly("whole").once_for("today"));
    let mut conn = connect_to(&database.tcp_url()).await;
    assert_eq!(run(&job, &mut conn).await.unwrap(), RAN);
    let entries = read_ledger(&mut conn).await.unwrap();
    assert_eq!(entries.len(), 2);
    assert_eq!(entries, job::read_ledger(&mut database.connect()).unwrap());

    let without = self::database();
    let error = read_ledger(&mut connect_to(&without.tcp_url()).await).await.unwrap_err();
    assert!(matches!(error, LedgerError::NoTable { .. }), "{error:?}");
}
