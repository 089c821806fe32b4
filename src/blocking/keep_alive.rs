//! Keeps a connection alive while the closure computes.

use std::{
    panic,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use crate::{
    driver::{
        blocking::{Blocking, ready},
        status::{self, NamedLockConnection},
    },
    section::{ask::ping, kill::kill_own},
    watch::Watch,
};

/// Lends the connection to a thread that pings it while `compute` runs on this thread.
pub(crate) fn keep_alive_while<C, T>(conn: &mut C, interval: Duration, compute: impl FnOnce(&Watch) -> T) -> T
where
    C: NamedLockConnection + Send,
{
    let watch = Watch::new(Instant::now(), Duration::MAX, "connection of a computation".to_owned());
    thread::scope(|scope| {
        // Dropped when `compute` has returned or panicked, which wakes the thread.
        let (computes, computing) = mpsc::channel();
        let watch = &watch;
        let pings = scope.spawn(move || {
            watch.ping_while(interval, &computing, || ready(ping::<Blocking, C>(conn)).map(|()| true));
            if watch.is_lost() {
                status::mark_broken(conn);
                // If the ping was only struck, the release could succeed, although the loss was reported. And after `compute`, a
                // `KILL` is less likely to fail.
                let _ = computing.recv();
                ready(kill_own::<Blocking, C>(conn));
            }
        });
        let value = compute(watch);
        drop(computes);
        pings.join().unwrap_or_else(|panic| panic::resume_unwind(panic));
        value
    })
}
