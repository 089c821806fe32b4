//! A machine: another process, which runs a job when it is told to.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread,
    time::Duration,
};

use diesel::{MysqlConnection, prelude::*};
use diesel_named_lock::job::{JobError, JobOutcome, SingletonJob};

use crate::database::*;

const SAYS: &str = "machine: ";

pub struct Machine {
    process: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Machine {
    /// Connected, and ready to fire. It will run the job hourly, with work that lasts so long.
    pub fn start(database: &Database, job: &SingletonJob, work: Duration) -> Self {
        Self::start_at(database.url(), job, work)
    }

    pub fn start_at(url: &str, job: &SingletonJob, work: Duration) -> Self {
        let mut process = Command::new(env::current_exe().expect("this test program"))
            .args(["--exact", "processes::a_machine_alone_runs_its_job", "--nocapture"])
            .envs([("MACHINE_URL", url), ("MACHINE_JOB", job.name().as_str())])
            .env("MACHINE_WORK", work.as_millis().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process");
        let stdin = process.stdin.take().expect("a pipe");
        let stdout = BufReader::new(process.stdout.take().expect("a pipe"));
        let mut machine = Self { process, stdin, stdout };
        assert_eq!(machine.hear(), "ready");
        machine
    }

    pub fn fire(&mut self) {
        self.stdin.write_all(b"go\n").expect("a machine that listens");
    }

    /// The next thing that it says.
    pub fn hear(&mut self) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            assert_ne!(self.stdout.read_line(&mut line).expect("a pipe"), 0, "the machine has ended");
            if let Some((_, said)) = line.split_once(SAYS) {
                return said.trim_end().to_owned();
            }
        }
    }

    /// `kill -9`.
    pub fn kill(mut self) -> u32 {
        self.process.kill().expect("a process that lives");
        self.process.wait().expect("its end");
        self.process.id()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What a machine does, where this process is one.
pub fn be_a_machine() -> Option<()> {
    let [url, name, work] = ["MACHINE_URL", "MACHINE_JOB", "MACHINE_WORK"].map(|name| env::var(name).ok());
    let (url, name, work) = (url?, name?, Duration::from_millis(work?.parse().ok()?));
    let mut conn = MysqlConnection::establish(&url).expect("a connection");
    let job = SingletonJob::new(name).expect("a valid name").at_most_every(HOUR);
    println!("{SAYS}ready");
    std::io::stdin().read_line(&mut String::new()).expect("a word");
    let outcome = job.run(&mut conn, |_| {
        println!("{SAYS}working");
        thread::sleep(work);
        Ok::<_, JobError>(())
    });
    let said = match outcome.expect("an outcome") {
        JobOutcome::Ran(()) => "ran",
        JobOutcome::Busy(_) => "busy",
        JobOutcome::NotDue { .. } => "not due",
    };
    println!("{SAYS}{said}");
    Some(())
}
