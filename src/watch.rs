//! The state of a session that is pinged.

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

/// The state of a session that [`keep_alive_while`](crate::NamedLockExt::keep_alive_while) pings.
///
/// All methods answer from memory. Call them as often as you like, from any thread.
pub struct Watch {
    start: Instant,
    /// When the loss was noticed.
    lost: OnceLock<Instant>,
    /// When the last answered ping was sent, in nanoseconds after the start.
    heard: AtomicU64,
    /// After this long without an answer, the lock counts as lost.
    longest_silence: Duration,
    on_loss: Mutex<Option<Callback>>,
    loss: Condvar,
    /// What is watched, for the log.
    of: String,
}

impl Watch {
    /// `start` is a moment before the last answer of the session.
    pub(crate) fn new(start: Instant, longest_silence: Duration, of: String) -> Self {
        let (lost, heard) = (OnceLock::new(), 0.into());
        Self { start, lost, heard, longest_silence, on_loss: Mutex::default(), loss: Condvar::new(), of }
    }

    /// Returns whether a ping has failed in all its repetitions: the session is gone, and its locks with it.
    ///
    /// Once `true`, it stays `true`. The section then returns [`Lost`](crate::NamedLockError::Lost), even if the session turns out to
    /// live. So stop computing.
    ///
    /// `false` is no proof: on a network that goes silent, no ping fails. Compare [`silent_for`](Self::silent_for) with the time that
    /// the server allows.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        if self.silent_for() >= self.longest_silence {
            // This stays, whatever is heard later: the caller was told.
            let _ = self.lost.set(Instant::now());
        }
        self.lost.get().is_some()
    }

    /// Waits for at most `timeout` until the lock is lost, and returns [`is_lost`](Self::is_lost).
    ///
    /// Blocks the thread. Don't call it in an async closure, whose task also sends the pings.
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

    /// Returns how long ago the last answered ping was sent; before the first answer, the time since the start.
    ///
    /// Once this is longer than the session's [`IdleLimit`](crate::IdleLimit), the server may have given the lock to another
    /// session.
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

    /// Calls `callback` at once if the lock is already lost.
    pub(crate) fn on_loss(&self, callback: Callback) {
        let mut on_loss = self.lock();
        if self.lost.get().is_some() {
            drop(on_loss);
            self.call(callback);
        } else {
            *on_loss = Some(callback);
        }
    }

    /// Pings until the sender of `watching` is dropped, or the lock is lost. A ping returns whether the lock is held.
    pub(crate) fn ping_while<E: Display>(
        &self,
        interval: Duration,
        watching: &Receiver<Infallible>,
        mut ping: impl FnMut() -> Result<bool, E>,
    ) {
        // Also if `ping` panics: then the pings have ended.
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

    /// Notes the answer to a ping. Returns `false` if the lock counts as lost, which is logged.
    pub(crate) fn is_answered<E: Display>(&self, sent: Duration, holds: Result<bool, E>) -> bool {
        match holds {
            Ok(true) if !self.is_lost() => {
                self.heard(sent);
                return true;
            }
            Ok(true) => warn!(target: TARGET, "{}: a ping was answered too late, and the lock counts as lost", self.of),
            Ok(false) => warn!(target: TARGET, "{}: a ping found that the lock is not held any more", self.of),
            Err(error) => warn!(target: TARGET, "{}: a ping failed, and the lock counts as lost: {error}", self.of),
        }
        false
    }

    /// Returns the time since the start. Asked when a ping is sent, for [`heard`](Self::heard) when it is answered.
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
            self.call(callback);
        }
    }

    /// May be called during another panic.
    fn call(&self, callback: Callback) {
        if catch_unwind(AssertUnwindSafe(callback)).is_err() {
            warn!(target: TARGET, "{}: the callback on the loss of the lock panicked", self.of);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Callback>> {
        self.on_loss.lock().unwrap_or_else(PoisonError::into_inner)
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
