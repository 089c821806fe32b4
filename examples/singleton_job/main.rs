//! Three machines, each a process, fire a job at the same moment, and then once more, in turn. The ledger is printed.
//!
//! A lock alone would run the job up to six times, one after the other: it takes 100 ms, and then the lock is free.
//!
//! `examples/run singleton_job` runs it on a private server, started for it; with `DATABASE_URL` set, it runs on that one,
//! in a database of its own, which it drops at the end.

use std::{
    env,
    error::Error,
    process::{Child, Command, ExitStatus},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use diesel::{MysqlConnection, connection::SimpleConnection, prelude::*};
use diesel_named_lock::job::{JobError, JobOutcome, JobState, JobStatus, SingletonJob};
use humantime::format_rfc3339_micros as utc;
use test_server::Server;
use url::Url;

/// An application that uses Diesel's migrations runs it as one of them.
const MIGRATION: &str = include_str!("../../migrations/00000000000002-namedlock_create_named_lock_ledger/up.sql");
const DATABASE: &str = "diesel_named_lock_singleton_job";
const SECOND: Duration = Duration::from_secs(1);

/// The same on every machine.
fn job() -> Result<SingletonJob, JobError> {
    Ok(SingletonJob::new("example:nightly-report")?.at_most_every(60 * SECOND))
}

fn main() -> Result<(), Box<dyn Error>> {
    match (env::args().nth(1), env::args().nth(2)) {
        (Some(machine), Some(moment)) => be_a_machine(&machine, UNIX_EPOCH + Duration::from_millis(moment.parse()?)),
        _ => start_machines(),
    }
}

/// What cron does, on each machine.
fn be_a_machine(machine: &str, moment: SystemTime) -> Result<(), Box<dyn Error>> {
    let mut conn = MysqlConnection::establish(&env::var("DATABASE_URL")?)?;
    let in_turn = moment + SECOND / 4 * machine.parse()?;
    for moment in [moment, in_turn] {
        thread::sleep(moment.duration_since(SystemTime::now()).unwrap_or_default());
        let outcome = job()?.run(&mut conn, |_| {
            thread::sleep(Duration::from_millis(100));
            Ok::<_, JobError>("a report")
        })?;
        match outcome {
            JobOutcome::Ran(report) => println!("machine {machine}: ran, and has {report}"),
            JobOutcome::Busy(Some(holder)) => {
                println!("machine {machine}: connection {} is at it", holder.connection_id)
            }
            JobOutcome::Busy(None) => println!("machine {machine}: somebody was at it"),
            JobOutcome::NotDue { next } => println!("machine {machine}: not due before {}", utc(next.ok_or("none")?)),
        }
    }
    Ok(())
}

fn start_machines() -> Result<(), Box<dyn Error>> {
    let server = Server::shared();
    println!("three machines, one job that is due once a minute, on {} {}", server.product(), server.version());
    let mut conn = MysqlConnection::establish(server.url())?;
    conn.batch_execute(&format!("CREATE DATABASE {DATABASE}; USE {DATABASE}; {MIGRATION}"))?;
    let status = run_machines(server.url()).and_then(|()| Ok(job()?.status(&mut conn)?));
    conn.batch_execute(&format!("DROP DATABASE {DATABASE}"))?;
    let status = status?.ok_or("the job never ran")?;
    print(&status);
    if status.runs != 1 {
        return Err(format!("it ran {} times", status.runs).into());
    }
    println!("yes: it ran once");
    Ok(())
}

fn run_machines(url: &str) -> Result<(), Box<dyn Error>> {
    let mut url = Url::parse(url)?;
    url.set_path(DATABASE);
    let moment = (SystemTime::now() + SECOND).duration_since(UNIX_EPOCH)?.as_millis().to_string();
    let start = |machine| {
        Command::new(env::current_exe()?).args([machine, moment.as_str()]).env("DATABASE_URL", url.as_str()).spawn()
    };
    let mut machines = ["1", "2", "3"].map(start).into_iter().collect::<Result<Vec<_>, _>>()?;
    let ends = machines.iter_mut().map(Child::wait).collect::<Result<Vec<_>, _>>()?;
    if ends.iter().all(ExitStatus::success) { Ok(()) } else { Err("a machine failed".into()) }
}

fn print(last: &JobStatus) {
    println!("\nthe ledger:\n  runs     {}\n  by       process {} on {}", last.runs, last.process_id, last.host);
    println!("  started  {}", utc(last.started));
    match &last.state {
        JobState::Succeeded { ended, .. } => println!("  ended    {}, succeeded\n", utc(*ended)),
        state => println!("  {state:?}\n"),
    }
}
