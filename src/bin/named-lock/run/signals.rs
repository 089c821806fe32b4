//! The signals that are for the command.

use std::{fs, io, thread};

use rustix::process::Signal;
use signal_hook::{
    consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM},
    iterator::{SignalsInfo, exfiltrator::WithOrigin},
    low_level::siginfo::{Cause, Origin},
};
use tokio::sync::mpsc::UnboundedSender;

use super::command::Event;

/// From now on, signals don't end this process, but become events.
pub fn send_to(events: UnboundedSender<Event>) -> io::Result<()> {
    let ignored = ignored();
    let ours = [SIGINT, SIGTERM, SIGHUP, SIGQUIT].into_iter().filter(|signal| ignored >> (signal - 1) & 1 == 0);
    let mut signals = SignalsInfo::<WithOrigin>::new(ours.chain([SIGCHLD]))?;
    let pass_on = move || signals.forever().filter_map(event).try_for_each(|event| events.send(event));
    thread::Builder::new().name("signals".into()).spawn(pass_on).map(drop)
}

fn event(origin: Origin) -> Option<Event> {
    match (origin.signal, origin.cause) {
        (SIGCHLD, _) => Some(Event::Child),
        // Typed at the terminal, which sends it to the command, too: many programs take a second one for "at once!".
        (SIGINT | SIGQUIT, Cause::Kernel) => None,
        (signal, _) => Signal::from_named_raw(signal).map(Event::Signal),
    }
}

/// The signals that this process was started to ignore (`nohup`, say), as bits, on Linux. They stay ignored, since then
/// the command ignores them, too: it would not inherit a handler.
fn ignored() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}
