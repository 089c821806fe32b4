//! A client in another language, as a process.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use testkit::{database::Database, world::wait_until};

/// With the packages of `requirements.txt`.
pub fn python(script: &str) -> Command {
    let test = env::current_exe().expect("a path");
    let target = test.ancestors().nth(3).expect("the folder above `debug/deps`");
    with_script(target.join("interop/bin/python"), script)
}

pub fn php(script: &str) -> Command {
    with_script("php".into(), script)
}

pub fn ruby(script: &str) -> Command {
    with_script("ruby".into(), script)
}

fn with_script(program: PathBuf, script: &str) -> Command {
    let mut command = Command::new(program);
    command.arg(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop")).join(script));
    command
}

/// It is killed when the test is over.
pub struct Client(Child);

impl Client {
    pub fn start(command: &mut Command, database: &Database) -> Self {
        let started = command.env("DATABASE_URL", database.tcp_url()).stdin(Stdio::null()).spawn();
        Self(started.unwrap_or_else(|error| panic!("{command:?}: {error}; `tests/run` installs it")))
    }

    #[track_caller]
    pub fn finish(mut self) {
        let mut status = None;
        wait_until("a client to end", || {
            status = self.0.try_wait().expect("a child");
            status.is_some()
        });
        assert!(status.is_some_and(|status| status.success()), "a client failed: {status:?}");
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}
