//! The client process killed with `kill -9`: this very program, started again as a client.

use std::{
    env,
    io::{BufRead, BufReader, Read},
    os::unix::process::ExitStatusExt,
    process::{Child, Command, Stdio},
    time::Instant,
};

use diesel_named_lock::NamedLock;

use crate::{
    scenario::{Outcome::*, SOON, Scenario, scenario},
    sql::{PATIENCE, connect, id},
    stage::{Stage, Work},
};

const LOCK: &str = "FAULTS_CLIENT_LOCK";
const SERVER: &str = "FAULTS_CLIENT_SERVER";
const SIGKILL: i32 = 9;

pub fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("client_killed_while_holding", client_killed_while_holding, &[ProcessKilled])
            .free_within(SOON)
            .since("the kill"),
        // The server may grant the lock to a session whose end it has not noticed, and then does.
        scenario("client_killed_while_waiting", client_killed_while_waiting, &[ProcessKilled])
            .free_within(SOON)
            .since("the holder's release"),
    ]
}

/// Whether this process was started to be killed.
pub fn is_wanted() -> bool {
    env::var_os(LOCK).is_some()
}

/// Says its connection id, then that it holds the lock, then holds it for as long as somebody holds its standard input.
pub fn main() {
    let variable = |name| env::var(name).expect(name);
    let mut conn = connect(&variable(SERVER));
    println!("{}", id(&mut conn));
    let lock = NamedLock::new(variable(LOCK)).expect("a valid name").timeout(PATIENCE);
    let outcome: Work = lock.run(&mut conn, |_| {
        println!("holding");
        let _ = std::io::stdin().read(&mut [0]);
        Result::Ok(())
    });
    outcome.expect("a section");
}

struct Client {
    process: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Client {
    fn start(stage: &Stage) -> Self {
        let mut process = Command::new(env::current_exe().expect("this program"))
            .env(LOCK, &stage.name)
            .env(SERVER, stage.server.url())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process");
        let output = BufReader::new(process.stdout.take().expect("stdout is piped"));
        Self { process, output }
    }

    fn says(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("a line");
        line.trim().to_owned()
    }

    fn id(&mut self) -> u64 {
        self.says().parse().expect("a connection id")
    }

    fn killed(mut self, stage: &Stage) {
        self.process.kill().expect("kill -9");
        let status = self.process.wait().expect("its end");
        stage.check(status.signal() == Some(SIGKILL), &format!("the client ended with {status}"));
        stage.saw(ProcessKilled);
    }
}

fn client_killed_while_holding(stage: &Stage) {
    for _ in 0..10 {
        let mut client = Client::start(stage);
        let own = client.id();
        assert_eq!(client.says(), "holding");
        assert_eq!(stage.holder(), Some(own));
        let killed = Instant::now();
        client.killed(stage);
        stage.free_since(killed);
    }
}

fn client_killed_while_waiting(stage: &Stage) {
    for _ in 0..10 {
        let rival = stage.rival();
        let mut client = Client::start(stage);
        let own = client.id();
        stage.until_waiting(own);
        client.killed(stage);
        stage.free_after(rival);
    }
}
