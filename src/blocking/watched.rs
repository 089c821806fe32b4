//! A guard whose session is kept alive, and which notices the loss of its lock by itself.

use std::{
    convert::Infallible,
    fmt,
    ops::DerefMut,
    panic,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::{
    connection_id::ConnectionId,
    driver::{
        blocking::{Blocking, ready},
        status::{self, NamedLockConnection},
    },
    error::NamedLockError,
    keep_alive_error::KeepAliveError,
    name::LockName,
    names::Names,
    section::{ask::longest_idle_time, kill::kill_own},
    watch::Watch,
};

/// A guard whose connection is pinged by a thread, so that the lock is kept and its loss is noticed.
///
/// Returned by [`NamedLockGuard::keep_alive`](crate::NamedLockGuard::keep_alive). The connection can't be used until
/// [`into_guard`](Self::into_guard) returns the guard.
///
/// A ping asks whether the session holds the lock: one round trip for each name. If `KILL QUERY` strikes it, it is sent again.
///
/// # When the lock is lost
///
/// [`is_lost`](Self::is_lost) is `true` from then on, and the guard is released as [`Lost`](NamedLockError::Lost), even if the
/// session turns out to live. The loss is noticed
///
/// * within one interval, if the session was killed, the server has ended, or the connection was closed;
/// * after the session's `wait_timeout`, on a network that goes silent: from then on, the server may have given the lock to
///   another session. [`NamedLock::idle_limit`](crate::NamedLock::idle_limit) shortens it for the time of the guard.
///
/// # When it is dropped
///
/// The pings stop and the guard is dropped, which releases the lock. On a network that goes silent, this waits only until the lock
/// counts as lost. The thread drops the guard when the network speaks again.
///
/// # What it does not promise
///
/// Time is measured by [`Instant`]. So on Linux, a process that was stopped finds out at once that it was silent for too long. After a
/// whole machine was suspended, only the first ping finds that out.
#[must_use = "the lock is released when the guard is dropped"]
pub struct WatchedGuard<G> {
    watch: Arc<Watch>,
    names: Names,
    connection_id: ConnectionId,
    /// Dropped to stop the pings.
    stops: Option<Sender<Infallible>>,
    /// Receives the guard from the thread. In a mutex only to be `Sync`.
    returned: Mutex<Receiver<G>>,
    thread: Option<JoinHandle<()>>,
}

/// Moves the guard into a thread that pings it, by `still_holds`.
pub(crate) fn keep_alive<G>(
    mut guard: G,
    interval: Duration,
    (names, connection_id): (Names, ConnectionId),
    still_holds: fn(&mut G) -> Result<bool, NamedLockError>,
) -> Result<WatchedGuard<G>, KeepAliveError<G>>
where
    G: DerefMut<Target: NamedLockConnection + Sized> + Send + 'static,
{
    if interval.is_zero() {
        return Err(KeepAliveError::InvalidInterval { guard: guard.into(), interval, longest: None });
    }
    let start = Instant::now();
    let longest = match ready(longest_idle_time::<Blocking, _>(&mut *guard)) {
        Ok(longest) if interval < longest => longest,
        Ok(longest) => {
            let (guard, longest) = (guard.into(), Some(longest));
            return Err(KeepAliveError::InvalidInterval { guard, interval, longest });
        }
        Err(source) => return Err(KeepAliveError::Database { guard: guard.into(), source }),
    };
    let watch = Arc::new(Watch::new(start, longest, format!("{names} on connection {connection_id}")));
    let (stops, watching) = mpsc::channel();
    let (returns, returned) = mpsc::channel();
    let pings = {
        let watch = watch.clone();
        move || {
            watch.ping_while(interval, &watching, || still_holds(&mut guard));
            if watch.is_lost() {
                status::mark_broken(&mut *guard);
                // If the ping was only struck, the release could succeed, although the loss was reported.
                let _ = watching.recv();
                ready(kill_own::<Blocking, _>(&mut *guard));
            }
            // If the receiver is gone, the guard is dropped here.
            let _ = returns.send(guard);
        }
    };
    let thread = thread::Builder::new().name("named-lock-pings".into()).spawn(pings).expect("a thread for the pings");
    let (stops, returned, thread) = (Some(stops), Mutex::new(returned), Some(thread));
    Ok(WatchedGuard { watch, names, connection_id, stops, returned, thread })
}

impl<G> WatchedGuard<G> {
    /// Returns whether the lock is lost: a ping has failed, or none was answered for as long as the session's `wait_timeout`. Once
    /// `true`, it stays `true`.
    ///
    /// Answers from memory, so `false` may be one interval old.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.watch.is_lost()
    }

    /// Waits for at most `timeout` until the lock is lost. Returns whether it is lost.
    pub fn lost(&self, timeout: Duration) -> bool {
        self.watch.lost(timeout)
    }

    /// Returns how long ago the last answered ping was sent.
    #[must_use]
    pub fn silent_for(&self) -> Duration {
        self.watch.silent_for()
    }

    /// Returns for how long the lock has been known to be lost. `None` if it is not lost.
    #[must_use]
    pub fn lost_for(&self) -> Option<Duration> {
        self.watch.lost_for()
    }

    pub(crate) fn until_too_silent(&self) -> Duration {
        self.watch.until_too_silent()
    }

    /// Sets a callback for the loss of the lock. It is called once, on the thread that pings; at once if the lock is already lost.
    /// A second callback replaces one that was not called yet.
    ///
    /// It is not called while a ping has no answer, as on a network that goes silent. Use [`lost`](Self::lost) there. A panic of the
    /// callback is logged at `warn`.
    pub fn on_loss(&self, callback: impl FnOnce() + Send + 'static) {
        self.watch.on_loss(Box::new(callback));
    }

    /// Returns the names of the locks.
    #[must_use]
    pub fn names(&self) -> &[LockName] {
        self.names.as_slice()
    }

    /// Returns the id of the session that acquired the lock.
    #[must_use]
    pub fn connection_id(&self) -> ConnectionId {
        self.connection_id
    }

    /// Stops the pings and returns the guard, even if its lock is lost: releasing it then returns the error.
    ///
    /// Waits for the answer to a ping that is under way. On a network that goes silent, that lasts until the network speaks again, or the
    /// operating system gives the connection up.
    ///
    /// # Panics
    ///
    /// Panics if a hook of the application (Diesel's `Instrumentation`) panicked in a ping. The guard was dropped at that moment.
    #[must_use = "the lock is released when the guard is dropped"]
    pub fn into_guard(mut self) -> G {
        self.stops = None;
        let guard = self.returned().recv();
        guard.unwrap_or_else(|_| match self.thread.take().expect("a thread until now").join() {
            Err(panic) => panic::resume_unwind(panic),
            Ok(()) => unreachable!("the thread returns the guard"),
        })
    }

    fn returned(&mut self) -> &mut Receiver<G> {
        self.returned.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<G> Drop for WatchedGuard<G> {
    fn drop(&mut self) {
        if self.stops.take().is_none() {
            return;
        }
        loop {
            let left = self.watch.until_too_silent();
            match self.returned().recv_timeout(left) {
                Err(RecvTimeoutError::Timeout) if !self.watch.is_lost() => {}
                // The guard is dropped here, or by the thread.
                _ => return,
            }
        }
    }
}

impl<G> fmt::Debug for WatchedGuard<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchedGuard")
            .field("names", &self.names())
            .field("connection_id", &self.connection_id)
            .field("watch", &self.watch)
            .finish_non_exhaustive()
    }
}
