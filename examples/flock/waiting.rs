//! What is told on a terminal while the lock is waited for.

use std::{
    error::Error,
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    thread,
    time::{Duration, Instant},
};

use diesel::prelude::*;
use diesel_named_lock::LockName;

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Tells who holds the lock, and for how long, at ever longer intervals until what this returns is dropped.
///
/// It asks on connections of its own: the other one stands in the server's queue, and keeps its place there.
pub fn tell(url: &str, name: &LockName) -> Sender<()> {
    let (wait_goes_on, ended) = mpsc::channel();
    let (url, name) = (url.to_owned(), name.clone());
    thread::spawn(move || {
        let told = tell_until(&ended, &url, &name);
        told.unwrap_or_else(|error| eprintln!("flock: waiting for `{name}`; who holds it can't be told: {error}"));
    });
    wait_goes_on
}

fn tell_until(ended: &Receiver<()>, url: &str, name: &LockName) -> Result<(), Box<dyn Error>> {
    let start = Instant::now();
    let waits = |time| ended.recv_timeout(time) == Err(RecvTimeoutError::Timeout);
    let mut seen = (None, start);
    let mut pause = FIRST_PAUSE;
    while waits(pause) {
        let holder = name.holder(&mut MysqlConnection::establish(url)?)?;
        if !waits(Duration::ZERO) {
            break;
        }
        let held = holder.map_or_else(String::new, |holder| {
            if seen.0 != Some(holder.connection_id) {
                seen = (Some(holder.connection_id), Instant::now());
            }
            format!("; held for {} or longer by {holder}", seconds_since(seen.1))
        });
        eprintln!("flock: waiting for `{name}` for {}{held}", seconds_since(start));
        pause = LONGEST_PAUSE.min(pause * 2);
    }
    Ok(())
}

fn seconds_since(start: Instant) -> humantime::FormattedDuration {
    humantime::format_duration(Duration::from_secs(start.elapsed().as_secs()))
}
