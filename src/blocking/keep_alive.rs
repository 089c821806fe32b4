//! A connection that is kept alive while the work computes.

use std::{
    convert::Infallible,
    panic,
    sync::{
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use log::warn;
use scopeguard::ScopeGuard;

use crate::{
    driver::{
        blocking::{Blocking, ready},
        status::{self, NamedLockConnection},
    },
    log_target::TARGET,
    section::{ask::ping, kill::kill_own},
};

const SHORTEST_INTERVAL: Duration = Duration::from_millis(1);

/// What is known of a session while [`keep_alive_while`](crate::NamedLockExt::keep_alive_while) pings it.
///
/// Both questions are answered from memory: ask as often as you like, from any thread.
#[derive(Debug)]
pub struct Watch {
    start: Instant,
    lost: AtomicBool,
    /// When the last ping that was answered was sent: nanoseconds after the start.
    heard: AtomicU64,
}

impl Watch {
    fn new() -> Self {
        Self { start: Instant::now(), lost: false.into(), heard: 0.into() }
    }

    /// Whether a ping has failed, however often it was repeated: the session is gone, and its locks with it. From now
    /// on `true`; and the section ends as [`Lost`](crate::NamedLockError::Lost) even where the session turns out to live,
    /// so what is still to be computed is better left.
    ///
    /// `false` is no proof: on a network that goes silent, no ping fails. Compare [`silent_for`](Self::silent_for) with
    /// what the server allows.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }

    /// How long ago the last ping that was answered was sent; before the first answer, since the beginning.
    ///
    /// Once this is longer than the session's [`IdleLimit`](crate::IdleLimit), the server may have given the lock to
    /// somebody else.
    #[must_use]
    pub fn silent_for(&self) -> Duration {
        self.start.elapsed().saturating_sub(Duration::from_nanos(self.heard.load(Ordering::Relaxed)))
    }

    /// Pings until the other end of `computing` is dropped.
    fn ping_while<C: NamedLockConnection>(&self, conn: &mut C, interval: Duration, computing: Receiver<Infallible>) {
        // On the way out of a panic, too: nobody pings any more.
        let lost = scopeguard::guard((), |()| self.lost.store(true, Ordering::Relaxed));
        loop {
            let sent = self.start.elapsed();
            if let Err(error) = ready(ping::<Blocking, C>(conn)) {
                drop(lost);
                warn!(target: TARGET, "a ping failed, the lock is taken for lost: {error}");
                status::mark_broken(conn);
                // If it was only struck, the release could succeed, after this was said. Later, a `KILL` is less likely to fail, too.
                let _ = computing.recv();
                return ready(kill_own::<Blocking, C>(conn));
            }
            self.heard.store(u64::try_from(sent.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
            if computing.recv_timeout(interval) != Err(RecvTimeoutError::Timeout) {
                return ScopeGuard::into_inner(lost);
            }
        }
    }
}

/// Lends the connection to a thread that pings it while `compute` runs on this one.
pub(crate) fn keep_alive_while<C, T>(conn: &mut C, interval: Duration, compute: impl FnOnce(&Watch) -> T) -> T
where
    C: NamedLockConnection + Send,
{
    let watch = Watch::new();
    let interval = interval.max(SHORTEST_INTERVAL);
    thread::scope(|scope| {
        // Dropped when `compute` has returned or panicked, which wakes the thread.
        let (computes, computing) = mpsc::channel();
        let watch = &watch;
        let pings = scope.spawn(move || watch.ping_while(conn, interval, computing));
        let value = compute(watch);
        drop(computes);
        pings.join().unwrap_or_else(|panic| panic::resume_unwind(panic));
        value
    })
}
