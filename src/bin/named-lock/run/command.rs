//! The command: started, looked after, and its exit status.

use std::{
    ffi::OsString,
    io::{self, ErrorKind},
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Child, Command, ExitStatus},
    time::Duration,
};

use diesel_named_lock::nonblocking::{WatchedGuard, fence::FencingToken};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    sync::mpsc::{self, UnboundedReceiver},
    time::sleep,
};

use super::{Guard, signals};
use crate::{exit_status, failure::Failure, options::OnLoss, output::complain};

/// How often the command is looked at, if no signal says that it has ended.
const LOOK: Duration = Duration::from_secs(1);

const TOKEN: &str = "NAMED_LOCK_TOKEN";

/// What may happen while the command runs.
pub enum Event {
    /// It has ended, or been stopped or continued.
    Child,
    /// A signal for it.
    Signal(Signal),
}

pub struct Launch<'a> {
    pub command: &'a [OsString],
    pub token: Option<FencingToken>,
    pub on_loss: OnLoss,
}

impl Launch<'_> {
    /// Runs the command to its end, and returns its exit status as shells have it.
    pub async fn run(self, watched: &WatchedGuard<Guard>) -> Result<u8, Failure> {
        let (sender, mut events) = mpsc::unbounded_channel();
        // Before the command starts, so that none is missed.
        signals::send_to(sender).map_err(|error| Failure::unavailable(format!("signals can't be handled: {error}")))?;
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]).env_remove(TOKEN);
        command.envs(self.token.map(|token| (TOKEN, token.to_string())));
        match command.spawn() {
            Ok(child) => {
                let status = look_after(child, &mut events, watched, self.on_loss).await;
                status.map(shell_status).map_err(|error| Failure::unavailable(format!("the command is gone: {error}")))
            }
            Err(error) => {
                complain(format!("{}: {error}", Path::new(&self.command[0]).display()));
                let is_missing = error.kind() == ErrorKind::NotFound;
                Ok(if is_missing { exit_status::NOT_FOUND } else { exit_status::NOT_EXECUTABLE })
            }
        }
    }
}

fn shell_status(status: ExitStatus) -> u8 {
    // One of the two: it ended by itself or by a signal.
    status.code().or_else(|| Some(128 + status.signal()?)).map_or(u8::MAX, |status| status as u8)
}

async fn look_after(
    mut child: Child,
    events: &mut UnboundedReceiver<Event>,
    watched: &WatchedGuard<Guard>,
    on_loss: OnLoss,
) -> io::Result<ExitStatus> {
    let pid = Pid::from_child(&child);
    let mut is_told = false;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        let signal = tokio::select! {
            // The parent of this process may have blocked SIGCHLD.
            () = sleep(LOOK) => None,
            event = events.recv() => match event {
                Some(Event::Signal(signal)) => Some(signal),
                _ => None,
            },
            () = watched.lost(), if !is_told => {
                is_told = true;
                told_of_loss(on_loss)
            }
        };
        if let Some(signal) = signal {
            // It is there, if only as a zombie: it was not waited for yet.
            kill_process(pid, signal).ok();
        }
    }
}

fn told_of_loss(on_loss: OnLoss) -> Option<Signal> {
    let (then, signal) = match on_loss {
        OnLoss::Term => ("sending SIGTERM to the command", Some(Signal::TERM)),
        OnLoss::Kill => ("killing the command", Some(Signal::KILL)),
        OnLoss::Nothing => ("the command continues, perhaps not alone", None),
    };
    complain(format!("THE LOCK IS LOST: {then}"));
    signal
}
