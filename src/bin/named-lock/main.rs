//! `named-lock`, for the shell and for operators: runs a command under a named lock, and shows, checks and breaks locks.
//!
//! The guide `command_line` tells what it does for its users.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;

use crate::{
    failure::Failure,
    options::{Action, NamedLockTool},
};

mod break_lock;
mod connect;
mod doctor;
mod exit_status;
mod failure;
mod free;
mod holder;
mod init;
mod jobs;
mod json;
mod list;
mod lock_rows;
mod manual;
mod options;
mod output;
mod quorum;
mod run;
mod server;
mod table;
mod top;
mod url;

fn main() -> ExitCode {
    let tool = match NamedLockTool::try_parse() {
        Ok(tool) => tool,
        Err(error) => return usage(&error).into(),
    };
    let status = act(&tool.action).unwrap_or_else(|failure| {
        output::complain(&failure.text);
        failure.status
    });
    status.into()
}

/// `--help` and `--version` come here, too.
fn usage(error: &clap::Error) -> u8 {
    // To a pipe that is closed, there is nothing to say.
    let _ = error.print();
    match error.use_stderr() {
        false => exit_status::OK,
        // As a monitor understands it.
        true if std::env::args_os().nth(1).is_some_and(|action| action == "doctor") => exit_status::UNKNOWN,
        true => exit_status::USAGE,
    }
}

/// The exit status, once it is done.
fn act(action: &Action) -> Result<u8, Failure> {
    match action {
        Action::Run(options) => on_runtime(run::run(options)),
        Action::List(options) => on_runtime(list::list(options)),
        Action::Top(server) => on_runtime(top::top(server)),
        Action::Doctor(options) => on_runtime(doctor::doctor(options)),
        Action::Break(options) => on_runtime(break_lock::break_lock(options)),
        Action::Holder(options) => on_runtime(holder::holder(options)),
        Action::Quorum(options) => on_runtime(quorum::quorum(options)),
        Action::Jobs(server) => on_runtime(jobs::jobs(server)),
        Action::Init(options) => init::init(options),
        Action::Man { command } => manual::man(command.as_deref()),
        Action::Completions { shell } => manual::completions(*shell),
    }
}

fn on_runtime(action: impl Future<Output = Result<u8, Failure>>) -> Result<u8, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::unavailable(format!("the system has no room for it: {error}")))?;
    let result = runtime.block_on(action);
    // A name that is being looked up can't be waited for.
    runtime.shutdown_background();
    result
}
