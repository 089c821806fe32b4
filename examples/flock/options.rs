//! The command line.

use std::ffi::OsString;

use clap::Parser;
use diesel_named_lock::{LockName, NamedLock};

/// Runs a command while a named lock is held: what `flock(1)` does for one host, for all hosts that use one MySQL or
/// MariaDB server
#[derive(Parser)]
#[command(name = "flock", max_term_width = 100, after_help = EXIT_STATUS)]
pub struct Options {
    /// The lock: of all commands under the same name on the same server, one runs at a time
    #[arg(long)]
    pub name: LockName,

    /// Wait for at most so long, such as 10s, "1m 30s" or 250ms [default: for ever]
    #[arg(short = 'w', long, value_name = "DURATION")]
    timeout: Option<humantime::Duration>,

    /// Don't wait
    #[arg(short, long, conflicts_with = "timeout")]
    no_wait: bool,

    /// The exit status when the lock was not free in time
    #[arg(short = 'E', long, value_name = "STATUS", default_value_t = 75)]
    pub conflict_exit_code: u8,

    /// Of the server, such as mysql://user:password@host/database; the variable keeps the password out of sight
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub url: Option<String>,

    /// What to run, with its arguments; no shell in between
    #[arg(required = true, trailing_var_arg = true)]
    pub command: Vec<OsString>,
}

const EXIT_STATUS: &str = "\
Exit status: that of the command, 128 + N if signal N ended it, or
    2  the command line is wrong
   69  no lock: the server can't be reached, refused, or ended the wait
   75  no lock: it was not free in time (--conflict-exit-code)
   76  the lock was lost: the command ran, but perhaps not alone
  126  the command can't be executed
  127  the command was not found";

impl Options {
    pub fn lock(&self) -> NamedLock {
        let lock = NamedLock::new(&self.name).expect("a name that was checked");
        match self.timeout {
            _ if self.no_wait => lock.no_wait(),
            Some(timeout) => lock.timeout(timeout.into()),
            None => lock.wait_forever(),
        }
    }
}
