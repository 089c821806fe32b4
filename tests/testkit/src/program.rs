//! A program as a process, of which a test waits for what it writes and for its end.

use std::{
    fmt,
    io::Read,
    os::unix::process::ExitStatusExt,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::world::wait_until;

/// A running program. It is killed when the test is over.
pub struct Program {
    process: Child,
    pub stdout: Output,
    pub stderr: Output,
}

impl Program {
    /// Its standard input is open, and empty until this is dropped.
    pub fn start(command: &mut Command) -> Self {
        let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = pipes.spawn().expect("a program that was built");
        let (stdout, stderr) = (process.stdout.take().expect("a pipe"), process.stderr.take().expect("a pipe"));
        Self::new(process, stdout, stderr)
    }

    pub fn new(process: Child, stdout: impl Read + Send + 'static, stderr: impl Read + Send + 'static) -> Self {
        Self { process, stdout: Output::of(stdout), stderr: Output::of(stderr) }
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).expect("a process that runs");
    }

    pub fn close_input(&mut self) {
        self.process.stdin = None;
    }

    /// Waits for its end. As a shell has it: 128 and the number of the signal that ended it.
    #[track_caller]
    pub fn status(&mut self) -> i32 {
        let mut status = None;
        wait_until("the program to end", || {
            status = self.process.try_wait().expect("a child");
            status.is_some()
        });
        status.and_then(|status| status.code().or(status.signal().map(|signal| 128 + signal))).expect("an end")
    }
}

/// How a program ended, and all that it wrote.
#[derive(Debug)]
pub struct Finished {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Program {
    /// Waits until it has ended, and nobody writes to its output any more.
    #[track_caller]
    pub fn finish(&mut self) -> Finished {
        self.close_input();
        let status = self.status();
        wait_until("the end of its output", || self.stdout.has_ended() && self.stderr.has_ended());
        Finished { status, stdout: self.stdout.to_string(), stderr: self.stderr.to_string() }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// What was written so far.
pub struct Output {
    text: Arc<Mutex<String>>,
    reads: JoinHandle<()>,
}

impl Output {
    /// Reads until the end, in a thread.
    fn of(mut source: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(String::new()));
        let read = Arc::clone(&text);
        let reads = thread::spawn(move || {
            let mut buffer = [0; 1024];
            // A terminal ends in an error.
            while let Ok(count @ 1..) = source.read(&mut buffer) {
                *read.lock().expect("no panic") += &String::from_utf8_lossy(&buffer[..count]);
            }
        });
        Self { text, reads }
    }

    fn has_ended(&self) -> bool {
        self.reads.is_finished()
    }

    #[track_caller]
    pub fn wait_for(&self, part: &str) {
        wait_until(&format!("{part:?}"), || self.to_string().contains(part));
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
