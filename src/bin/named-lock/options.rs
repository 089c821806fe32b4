//! The command line.

use std::{ffi::OsString, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use diesel_named_lock::{
    InvalidName, LockName,
    nonblocking::{
        NamedLock,
        permits::{Permits, SharedLock},
    },
};

use crate::{
    exit_status,
    failure::Failure,
    server::{Node, Password, Server, nodes},
};

/// Named locks of a MySQL or MariaDB server, for the shell and for operators
///
/// A named lock is the server's own (GET_LOCK): of all programs that acquire the same name on one server, from any host, one holds it at
/// a time.
#[derive(Parser)]
#[command(name = "named-lock", version, max_term_width = 100, after_help = exit_status::OF_TOOL)]
pub struct NamedLockTool {
    #[command(subcommand)]
    pub action: Action,
}

#[derive(Subcommand)]
pub enum Action {
    Run(Run),
    List(List),
    /// Shows who holds which lock and who waits, like top(1): contended locks first, refreshed every second
    ///
    /// Arrow keys, Page Up, Page Down, Home and End scroll. q, Esc or Ctrl-C quits.
    Top(Server),
    Doctor(Doctor),
    Break(Break),
    Holder(Holder),
    Quorum(Quorum),
    /// Lists the last run of each singleton job, and of each of its keys, from the ledger in the URL's database
    Jobs(Server),
    Init(Init),
    /// Prints a manual page: `named-lock man run | man -l -`
    Man {
        /// The subcommand to describe [default: named-lock itself]
        command: Option<String>,
    },
    /// Prints the completions for a shell
    Completions {
        shell: Shell,
    },
}

/// Runs a command while a named lock is held: what flock(1) does for one host, for all hosts that use one server
///
/// It waits in the server's queue, first come, first served. On a terminal, it says who holds the lock.
///
/// The signals INT, TERM, HUP and QUIT are passed to the command. The lock is released when the command has ended. Until then, the
/// connection is kept alive.
///
/// If the lock is lost (its session was killed, or the server ended), another command may begin. A message says so at once, and the
/// command gets the signal that --on-loss names.
///
/// With --permits, up to N commands run at once. With --shared, commands run beside each other, and a command with --exclusive runs alone.
/// Use the same kind in all commands with a name: with --permits, with --shared or --exclusive, and without them, the name is that of three
/// different locks.
#[derive(Args)]
#[command(after_help = exit_status::OF_RUN)]
pub struct Run {
    /// The lock: of all commands with the same name on the same server, one runs at a time
    #[arg(long, value_parser = lock_name)]
    pub name: LockName,

    /// Run at most N commands with this name at once, on all hosts together, N from 1 to 64. All of them must have the same N
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64), group = "several")]
    permits: Option<u32>,

    /// Run beside other commands that have this name with --shared, up to 64, and beside none with --exclusive
    #[arg(short, long, group = "several")]
    shared: bool,

    /// Run alone, beside no command that has this name with --shared or --exclusive
    #[arg(short = 'x', long, conflicts_with = "several")]
    exclusive: bool,

    /// Don't wait
    #[arg(short, long, conflicts_with = "timeout")]
    no_wait: bool,

    /// Wait for at most this time: seconds, or with units, such as 250ms, "1m 30s" or 2h [default: for ever]
    #[arg(short = 'w', long, value_name = "TIME", value_parser = seconds_or_units, allow_hyphen_values = true)]
    timeout: Option<Duration>,

    /// The exit status if the lock was not free in time
    #[arg(short = 'E', long, value_name = "STATUS", default_value_t = exit_status::NOT_ACQUIRED)]
    pub conflict_exit_code: u8,

    /// Give the command a fencing token in the variable NAMED_LOCK_TOKEN: a number that grows with each holder of this lock, by which
    /// other systems can refuse writes that come too late. Needs the table that `named-lock init --fence` prints. Not with --permits or
    /// --shared
    #[arg(long, conflicts_with = "several")]
    pub fenced: bool,

    /// The signal for the command if the lock is lost while it runs
    #[arg(long, value_name = "WHAT", value_enum, default_value_t = OnLoss::Term)]
    pub on_loss: OnLoss,

    #[command(flatten)]
    pub server: Server,

    /// The command, with its arguments; no shell in between
    #[arg(required = true, trailing_var_arg = true)]
    pub command: Vec<OsString>,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum OnLoss {
    /// SIGTERM: the command may clean up
    Term,
    /// SIGKILL
    Kill,
    /// No signal: the command continues, perhaps not alone
    Nothing,
}

impl Run {
    pub fn lock(&self) -> Result<NamedLock, Failure> {
        let name = &self.name;
        let lock = match self.permits {
            Some(count) => Permits::new(name, count).map(|permits| permits.permit()),
            None if self.shared => SharedLock::new(name).map(|lock| lock.shared()),
            None if self.exclusive => SharedLock::new(name).map(|lock| lock.exclusive()),
            None => NamedLock::new(name),
        };
        let lock = lock.map_err(Failure::usage)?;
        Ok(match self.timeout {
            _ if self.no_wait => lock.no_wait(),
            Some(timeout) => lock.timeout(timeout),
            None => lock.wait_forever(),
        })
    }
}

/// The errors of the library name what can be done in Rust.
fn lock_name(text: &str) -> Result<LockName, String> {
    LockName::new(text).map_err(|error| match error {
        InvalidName::TooLong { chars, .. } => format!("it has {chars} characters, more than {}", LockName::MAX_CHARS),
        InvalidName::Character { .. } => "a name has no characters above U+FFFF".to_owned(),
        error => error.to_string(),
    })
}

/// Seconds, as for flock(1), or a time with units.
fn seconds_or_units(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds)
            .map_err(|_| "not a time from 0 on: to wait for ever, leave it out".to_owned()),
        Err(_) => humantime::parse_duration(text).map_err(|error| error.to_string()),
    }
}

/// Lists the named locks that are held or waited for, with holders and waiters: the most contended first
///
/// The permits of one name are together, and so is a lock that is shared or held exclusively. The session that is "first" is the next to
/// get what it waits for, and the others wait behind it. "+2" is for two more permits of the same session.
#[derive(Args)]
pub struct List {
    /// Print JSON
    #[arg(long)]
    pub json: bool,

    #[command(flatten)]
    pub server: Server,
}

/// Checks whether named locks are safe on this server: whether it is a replica, a node of a cluster, behind a proxy, and so on
///
/// It changes nothing on the server. Use it as the check of a monitor, or as a step of a deployment.
#[derive(Args)]
#[command(after_help = exit_status::OF_DOCTOR)]
pub struct Doctor {
    /// Print JSON
    #[arg(long)]
    pub json: bool,

    #[command(flatten)]
    pub server: Server,
}

/// Kills the session that holds a lock. Dangerous: its program may continue, and not alone
///
/// The holder's program is not asked. Its open transaction is rolled back, its other named locks are freed, and the next waiter gets
/// the lock at once, although the program of the old holder may continue. Stop that program first, if you can.
///
/// Each permit has a name of its own. To kill the holder of one permit, or one that shares a lock, or holds it exclusively, give the name
/// that `list` prints for it.
#[derive(Args)]
#[command(after_help = exit_status::OF_BREAK)]
pub struct Break {
    /// The lock, as `list` prints it, such as mail, mail:permit#2 or mail:shared#1
    #[arg(value_parser = lock_name)]
    pub name: LockName,

    /// Don't ask
    #[arg(long)]
    pub yes: bool,

    #[command(flatten)]
    pub server: Server,
}

/// Prints which session holds a lock at this moment
///
/// Each permit has a name of its own, and so has each place in a lock that is shared: give the name that `list` prints for it.
#[derive(Args)]
#[command(after_help = exit_status::OF_HOLDER)]
pub struct Holder {
    /// The lock, as `list` prints it, such as mail, mail:permit#2 or mail:shared#1
    #[arg(value_parser = lock_name)]
    pub name: LockName,

    #[command(flatten)]
    pub server: Server,
}

/// Prints which session holds a lock on each node of a quorum, and whether a majority is held
///
/// The nodes are those of the applications that lock with `diesel_named_lock::quorum`. Sessions of one section have different numbers on
/// different nodes.
#[derive(Args)]
#[command(after_help = exit_status::OF_QUORUM)]
pub struct Quorum {
    /// The lock
    #[arg(value_parser = lock_name)]
    pub name: LockName,

    /// A node and its server, such as db-1=mysql://user@host/database; as often as there are nodes
    #[arg(
        long = "node",
        value_name = "NAME=URL",
        env = "NAMED_LOCK_NODES",
        hide_env_values = true,
        value_delimiter = ' ',
        required = true
    )]
    nodes: Vec<String>,

    #[command(flatten)]
    password: Password,
}

impl Quorum {
    pub fn nodes(&self) -> Result<Vec<Node>, Failure> {
        nodes(&self.nodes, &self.password)
    }
}

/// Prints the SQL that makes the tables of fencing tokens and of singleton jobs: `named-lock init | mariadb shop`
///
/// Prints both tables unless one is asked for. No server is needed. Applications that run `diesel_named_lock::migration::MIGRATIONS` don't
/// need it.
#[derive(Args)]
pub struct Init {
    /// The table of the fencing tokens (`run --fenced`)
    #[arg(long)]
    pub fence: bool,

    /// The table of the jobs' runs (`jobs`)
    #[arg(long)]
    pub jobs: bool,
}
