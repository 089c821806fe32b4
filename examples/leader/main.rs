//! Four processes elect a leader, which writes every 20 ms. One leader is killed, one is stopped, one resigns.
//!
//! Each write is checked against the leader's term, so that one that comes too late is refused.
//!
//! `examples/run leader` runs it on a private server, started for it; with `DATABASE_URL` set, it runs on that one, in a
//! database of its own, which it drops at the end.

use std::{env, error::Error, io, sync::mpsc, thread, time::Duration};

use diesel::{connection::SimpleConnection, prelude::*};
use diesel_named_lock::leadership::{LeaderElection, Leadership, StepDown};

mod demonstration;
mod timeline;
mod writes;

use writes::write;

const LOCK: &str = "example:leader";
const PROCESSES: i32 = 4;
const IDLE_LIMIT: Duration = Duration::from_secs(1);
const PERIOD: Duration = Duration::from_millis(20);

fn main() -> Result<(), Box<dyn Error>> {
    match env::args().nth(1) {
        None => demonstration::run(),
        Some(process) => be_a_candidate(process.parse()?),
    }
}

/// What an application does. (Here, each of the four processes.)
fn be_a_candidate(process: i32) -> Result<(), Box<dyn Error>> {
    let election = LeaderElection::new(LOCK, connect)?.idle_limit(IDLE_LIMIT);
    let (tell, leaders) = mpsc::channel();
    thread::spawn(move || resign_when_told(&leaders));
    loop {
        let led = election.lead(Duration::MAX, |leadership| {
            tell.send(leadership.step_down())?;
            lead(process, leadership)
        })?;
        led.value?;
    }
}

fn lead(process: i32, leadership: &Leadership<MysqlConnection>) -> Result<(), Box<dyn Error>> {
    let mut writer = connect()?;
    // If it is stopped in a transaction that has checked the term, it does not hold up the next leader for longer.
    writer.batch_execute(&format!("SET SESSION wait_timeout = {}", IDLE_LIMIT.as_secs()))?;
    while leadership.is_leader() {
        if let Err(error) = write(process, leadership, &mut writer) {
            println!("  process {process}: {error}");
        }
        leadership.stepped_down(PERIOD);
    }
    // It knows that it leads no more. Had it not asked:
    if let Err(refused) = write(process, leadership, &mut connect()?) {
        println!("  process {process}: {refused}");
    }
    Ok(())
}

fn connect() -> ConnectionResult<MysqlConnection> {
    MysqlConnection::establish(&env::var("DATABASE_URL").unwrap_or_default())
}

/// A line of the standard input asks the leader of this process to resign; the end of the input ends the process.
fn resign_when_told(leaders: &mpsc::Receiver<StepDown>) {
    for line in io::stdin().lines() {
        drop(line);
        leaders.try_iter().last().iter().for_each(StepDown::request);
    }
    std::process::exit(0);
}
