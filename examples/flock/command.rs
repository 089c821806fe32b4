//! The command: started, looked after, and its exit status.

use std::{
    ffi::OsString,
    io::ErrorKind,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Child, Command, ExitStatus},
    sync::mpsc::{self, Receiver},
    time::Duration,
};

use diesel::prelude::*;
use diesel_named_lock::{NamedLockExt, Watch};
use rustix::process::{Pid, Signal, kill_process};

use crate::signals;

const NOT_EXECUTABLE: u8 = 126;
const NOT_FOUND: u8 = 127;
/// How often the session is asked whether it lives.
const EVERY: Duration = Duration::from_secs(1);

/// What may happen while the command runs.
pub enum Event {
    /// It has ended, or been stopped or continued.
    Child,
    /// A signal for it.
    Signal(Signal),
}

/// Runs the command to its end, and returns its exit status as shells have it.
pub fn run(command: &[OsString], conn: &mut MysqlConnection) -> u8 {
    let (sender, events) = mpsc::channel();
    // Before the command starts, so that none is missed.
    signals::send_to(sender);
    match Command::new(&command[0]).args(&command[1..]).spawn() {
        Ok(child) => {
            let status = conn.keep_alive_while(EVERY, |watch| look_after(child, &events, watch));
            // One of the two: it ended by itself or by a signal.
            status.code().or_else(|| Some(128 + status.signal()?)).map_or(u8::MAX, |status| status as u8)
        }
        Err(error) => {
            eprintln!("flock: {}: {error}", Path::new(&command[0]).display());
            if error.kind() == ErrorKind::NotFound { NOT_FOUND } else { NOT_EXECUTABLE }
        }
    }
}

fn look_after(mut child: Child, events: &Receiver<Event>, watch: &Watch) -> ExitStatus {
    let pid = Pid::from_child(&child);
    let mut told = false;
    loop {
        if let Some(status) = child.try_wait().expect("a child of ours") {
            return status;
        }
        let signal = match events.recv_timeout(EVERY) {
            Ok(Event::Signal(signal)) => signal,
            _ if watch.is_lost() && !told => {
                told = true;
                eprintln!("flock: THE LOCK IS LOST: sending SIGTERM to the command");
                Signal::TERM
            }
            _ => continue,
        };
        // It is there, if only as a zombie: we have not waited for it yet.
        kill_process(pid, signal).ok();
    }
}
