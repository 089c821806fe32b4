//! This very test program, started again as a process of its own.

use std::{
    env,
    ffi::OsStr,
    io::{BufRead, BufReader, Write},
    process::{ChildStdin, ChildStdout, Command, ExitStatus, Stdio},
};

/// Its arguments, in the environment: a test harness reads those of the command line.
const ARGUMENTS: &str = "TESTKIT_CHILD_ARGUMENTS";
const SEPARATOR: char = '\u{1f}';

/// Tells what a child says from what its test harness prints.
const SAYS: &str = "child: ";

pub struct Child {
    process: std::process::Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Child {
    /// Starts it. `harness`: what the program's test harness is to be told, if it has one.
    pub fn start(arguments: &[&str], harness: &[&str]) -> Self {
        let mut process = Command::new(env::current_exe().expect("this program"))
            .args(harness.iter().map(OsStr::new))
            .env(ARGUMENTS, arguments.join(&SEPARATOR.to_string()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process");
        let input = process.stdin.take().expect("its input");
        let output = BufReader::new(process.stdout.take().expect("its output"));
        Self { process, input, output }
    }

    /// Waits for the next thing that it says.
    #[track_caller]
    pub fn hear(&mut self) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            assert_ne!(self.output.read_line(&mut line).expect("its output"), 0, "the process has ended");
            if let Some((_, said)) = line.split_once(SAYS) {
                return said.trim_end().to_owned();
            }
        }
    }

    /// Lets the child continue, which waits for [`go`].
    pub fn go(&mut self) {
        self.input.write_all(b"go\n").expect("its input");
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    pub fn wait(&mut self) -> ExitStatus {
        self.process.wait().expect("its end")
    }

    /// `kill -9`.
    pub fn kill(mut self) -> ExitStatus {
        self.process.kill().expect("a process that lives");
        self.wait()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// In a child: the arguments that it was started with. It ends with its parent.
pub fn arguments() -> Option<Vec<String>> {
    let arguments = env::var(ARGUMENTS).ok()?;
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    Some(arguments.split(SEPARATOR).map(str::to_owned).collect())
}

/// In a child: says something to its parent.
pub fn say(what: impl std::fmt::Display) {
    println!("{SAYS}{what}");
    std::io::stdout().flush().expect("its output");
}

/// In a child: waits until its parent lets it continue.
pub fn go() {
    std::io::stdin().read_line(&mut String::new()).expect("its input");
}
