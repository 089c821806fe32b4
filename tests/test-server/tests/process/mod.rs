//! Other processes, and the program of this crate as one.

use std::fmt::Display;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A process that holds a server; killed on drop.
pub struct Helper(Child);

impl Helper {
    pub fn command(environment: &[(&str, &str)]) -> Command {
        // Tests that run in the background, or under nohup, ignore signals, and what they start would, too.
        let mut command = Command::new("env");
        command.args(["--default-signal", env!("CARGO_BIN_EXE_test-server")]).envs(environment.iter().copied());
        command
    }

    pub fn start(environment: &[(&str, &str)]) -> Helper {
        Helper::spawn(Helper::command(environment))
    }

    pub fn spawn(mut command: Command) -> Helper {
        Helper(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap())
    }

    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Waits until its server is up; the server's process id and URL.
    pub fn server(&mut self) -> (u32, String) {
        let lines = BufReader::new(self.0.stdout.take().unwrap()).lines();
        let lines = lines.take(4).map(Result::unwrap).collect::<Vec<_>>();
        let pid = lines[3].strip_prefix("process ").unwrap().parse().unwrap();
        (pid, lines[1].clone())
    }

    pub fn signal(&self, name: &str) {
        signal(name, self.pid());
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Sends a signal to a process, or to a process group by its negative number.
pub fn signal(name: &str, to: impl Display) {
    assert!(kill(name, to));
}

pub fn is_alive(pid: u32) -> bool {
    kill("0", pid)
}

fn kill(name: &str, to: impl Display) -> bool {
    let line = format!("kill -s {name} -- {to} 2>/dev/null");
    Command::new("/bin/sh").args(["-c", &line]).status().unwrap().success()
}

/// Looks often until this is so; panics when it isn't by then.
#[track_caller]
pub fn await_that(limit: Duration, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < limit, "not so after {limit:?}");
        sleep(Duration::from_millis(10));
    }
}
