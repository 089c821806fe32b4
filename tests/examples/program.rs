//! An example as a process.

use std::{
    env, fmt,
    io::Read,
    os::unix::process::ExitStatusExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, LazyLock, Mutex, PoisonError},
    thread,
};

use rustix::process::{Pid, Signal, kill_process};

use testkit::world::{server, wait_until};

/// The example of this name, to be run on the test server.
pub fn example(name: &str) -> Command {
    // Tests that run in the background, or under nohup, ignore signals, and what they start would, too.
    let mut command = Command::new("env");
    command.arg("--default-signal").arg(folder().join(name)).env("DATABASE_URL", server().url());
    command
}

/// Where the examples are: built first, since `cargo test --test examples` alone doesn't.
fn folder() -> &'static PathBuf {
    static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
        let release = if cfg!(debug_assertions) { None } else { Some("--release") };
        let mut build = Command::new(env!("CARGO"));
        let built =
            build.args(["build", "--quiet", "--examples", "--all-features"]).args(release).status().expect("cargo");
        assert!(built.success(), "the examples don't build");
        let test = env::current_exe().expect("a path");
        test.ancestors().nth(2).expect("the folder above `deps`").join("examples")
    });
    &FOLDER
}

/// A running example. It is killed when the test is over.
pub struct Program {
    process: Child,
    pub stdout: Output,
    pub stderr: Output,
}

impl Program {
    /// Its standard input is open, and empty until this is dropped.
    pub fn start(command: &mut Command) -> Self {
        let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = pipes.spawn().expect("an example that was built");
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
        wait_until("the example to end", || {
            status = self.process.try_wait().expect("a child");
            status.is_some()
        });
        status.and_then(|status| status.code().or(status.signal().map(|signal| 128 + signal))).expect("an end")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// What was written so far.
pub struct Output(Arc<Mutex<String>>);

impl Output {
    /// Reads until the end, in a thread.
    fn of(mut source: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(String::new()));
        let read = Arc::clone(&text);
        thread::spawn(move || {
            let mut buffer = [0; 1024];
            // A terminal ends in an error.
            while let Ok(count @ 1..) = source.read(&mut buffer) {
                *read.lock().expect("no panic") += &String::from_utf8_lossy(&buffer[..count]);
            }
        });
        Self(text)
    }

    #[track_caller]
    pub fn wait_for(&self, part: &str) {
        wait_until(&format!("{part:?}"), || self.to_string().contains(part));
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
