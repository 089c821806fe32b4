//! What is known of a session that is pinged.

use std::{
    convert::Infallible,
    fmt::{self, Display},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Condvar, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use log::warn;
use scopeguard::ScopeGuard;

use crate::log_target::TARGET;

pub(crate) const SHORTEST_INTERVAL: Duration = Duration::from_millis(1);

type Callback = Box<dyn FnOnce() + Send>;

/// What is known of a session while [`keep_alive_while`](crate::NamedLockExt::keep_alive_while) pings it.
///
/// All questions are answered from memory: ask as often as you like, from any thread.
pub struct Watch {
    start: Instant,
    /// Since when it is.
    lost: OnceLock<Instant>,
    /// When the last ping that was answered was sent: nanoseconds after the start.
    heard: AtomicU64,
    /// After so long a silence, the lock is taken for lost.
    longest_silence: Duration,
    on_loss: Mutex<Option<Callback>>,
    loss: Condvar,
}

impl Watch {
    /// `start`: before the session has last answered.
    pub(crate) fn new(start: Instant, longest_silence: Duration) -> Self {
        let (lost, heard) = (OnceLock::new(), 0.into());
        Self { start, lost, heard, longest_silence, on_loss: Mutex::default(), loss: Condvar::new() }
    }

    /// Whether a ping has failed, however often it was repeated: the session is gone, and its locks with it. From now
    /// on `true`; and the section ends as [`Lost`](crate::NamedLockError::Lost) even if the session turns out to live,
    /// so what is still to be computed is better left.
    ///
    /// `false` is no proof: on a network that goes silent, no ping fails. Compare [`silent_for`](Self::silent_for) with
    /// what the server allows.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        if self.silent_for() >= self.longest_silence {
            // For ever, whatever is heard later: somebody was told.
            let _ = self.lost.set(Instant::now());
        }
        self.lost.get().is_some()
    }

    /// Waits for at most `timeout` until [`is_lost`](Self::is_lost), and returns that. Blocks the thread: not for an async closure, whose
    /// task also sends the pings.
    pub fn lost(&self, timeout: Duration) -> bool {
        let start = Instant::now();
        let mut waiting = self.lock();
        loop {
            let left = timeout.saturating_sub(start.elapsed());
            if self.is_lost() || left.is_zero() {
                return self.is_lost();
            }
            let left = left.min(self.until_too_silent());
            waiting = self.loss.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// How long ago the last ping that was answered was sent; before the first answer, since the beginning.
    ///
    /// Once this is longer than the session's [`IdleLimit`](crate::IdleLimit), the server may have given the lock to
    /// somebody else.
    #[must_use]
    pub fn silent_for(&self) -> Duration {
        self.start.elapsed().saturating_sub(Duration::from_nanos(self.heard.load(Ordering::Relaxed)))
    }

    pub(crate) fn lost_for(&self) -> Option<Duration> {
        self.is_lost().then(|| self.lost.get().map(Instant::elapsed)).flatten()
    }

    pub(crate) fn until_too_silent(&self) -> Duration {
        self.longest_silence.saturating_sub(self.silent_for())
    }

    /// At once if it is lost already.
    pub(crate) fn on_loss(&self, callback: Callback) {
        let mut on_loss = self.lock();
        if self.lost.get().is_some() {
            drop(on_loss);
            call(callback);
        } else {
            *on_loss = Some(callback);
        }
    }

    /// Pings until the other end of `watching` is dropped, or the lock is lost. A ping says whether the lock is held.
    pub(crate) fn ping_while<E: Display>(
        &self,
        interval: Duration,
        watching: &Receiver<Infallible>,
        mut ping: impl FnMut() -> Result<bool, E>,
    ) {
        // On the way out of a panic, too: nobody pings any more.
        let lost = scopeguard::guard((), |()| self.lose());
        loop {
            let sent = self.elapsed();
            if !self.is_answered(sent, ping()) {
                return;
            }
            if watching.recv_timeout(interval.max(SHORTEST_INTERVAL)) != Err(RecvTimeoutError::Timeout) {
                break;
            }
        }
        if !self.is_lost() {
            ScopeGuard::into_inner(lost);
        }
    }

    /// Notes that a ping was answered. `false`: the lock is to be taken for lost, which is logged.
    pub(crate) fn is_answered<E: Display>(&self, sent: Duration, holds: Result<bool, E>) -> bool {
        match holds {
            Ok(true) if !self.is_lost() => {
                self.heard(sent);
                return true;
            }
            Ok(true) => warn!(target: TARGET, "a ping was answered too late, the lock is taken for lost"),
            Ok(false) => warn!(target: TARGET, "a ping found that the lock is not held any more"),
            Err(error) => warn!(target: TARGET, "a ping failed, the lock is taken for lost: {error}"),
        }
        false
    }

    /// When a ping is sent: for [`heard`](Self::heard), once it is answered.
    pub(crate) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    pub(crate) fn heard(&self, sent: Duration) {
        self.heard.store(u64::try_from(sent.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(crate) fn lose(&self) {
        let callback = {
            let mut on_loss = self.lock();
            let _ = self.lost.set(Instant::now());
            on_loss.take()
        };
        self.loss.notify_all();
        if let Some(callback) = callback {
            call(callback);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Callback>> {
        self.on_loss.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// It may be called while another panic goes on.
fn call(callback: Callback) {
    if catch_unwind(AssertUnwindSafe(callback)).is_err() {
        warn!(target: TARGET, "the callback on the loss of a lock panicked");
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("is_lost", &self.is_lost())
            .field("silent_for", &self.silent_for())
            .finish_non_exhaustive()
    }
}
