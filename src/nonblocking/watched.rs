//! A guard whose session is kept alive by a task, and which notices the loss of its lock by itself.

use std::{
    fmt,
    future::Future,
    panic::resume_unwind,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use diesel::result::QueryResult;
use tokio::{
    sync::{Notify, oneshot},
    task::JoinHandle,
    time::timeout,
};

use crate::{
    connection_id::ConnectionId,
    error::NamedLockError,
    keep_alive_error::KeepAliveError,
    name::LockName,
    names::Names,
    watch::{SHORTEST_INTERVAL, Watch},
};

/// A guard whose connection is pinged by a task, so that the lock is kept and its loss is noticed.
///
/// Returned by [`NamedLockGuard::keep_alive`](super::NamedLockGuard::keep_alive). The connection can't be used until
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
/// * on a network that goes silent, 10 seconds after a ping, or after the session's `wait_timeout` if that is earlier: from then on,
///   the server may have given the lock to another session. [`NamedLock::idle_limit`](super::NamedLock::idle_limit) shortens it for the
///   time of the guard.
///
/// # When it is dropped
///
/// The pings stop, and after the ping that is under way, their task drops the guard, which closes its connection. Await
/// [`into_guard`](Self::into_guard) and a release instead.
#[must_use = "the lock is released when the guard is dropped"]
pub struct WatchedGuard<G> {
    watch: Arc<Watch>,
    loss: Arc<Notify>,
    names: Names,
    connection_id: ConnectionId,
    /// Dropped to stop the pings.
    stops: oneshot::Sender<()>,
    task: JoinHandle<G>,
}

/// A guard that can be watched.
pub(super) trait Watchable: Send + Sized + 'static {
    fn watched_locks(&self) -> (Names, ConnectionId);

    fn longest_idle_time(&mut self) -> impl Future<Output = QueryResult<Duration>> + Send;

    fn still_holds(&mut self) -> impl Future<Output = Result<bool, NamedLockError>> + Send;

    /// Makes sure that the release returns `Lost`, although the session may live.
    fn kill(&mut self) -> impl Future<Output = ()> + Send;
}

/// Moves the guard into a task that pings it.
pub(super) async fn keep_alive<G: Watchable>(
    mut guard: G,
    interval: Duration,
) -> Result<WatchedGuard<G>, KeepAliveError<G>> {
    if interval.is_zero() {
        return Err(KeepAliveError::InvalidInterval { guard: guard.into(), interval, longest: None });
    }
    let start = Instant::now();
    let longest = match guard.longest_idle_time().await {
        Ok(longest) if interval < longest => longest,
        Ok(longest) => {
            let (guard, longest) = (guard.into(), Some(longest));
            return Err(KeepAliveError::InvalidInterval { guard, interval, longest });
        }
        Err(source) => return Err(KeepAliveError::Database { guard: guard.into(), source }),
    };
    let (names, connection_id) = guard.watched_locks();
    let watch = Watch::new(start, longest, format!("{names} on connection {connection_id}"));
    let (watch, loss) = (Arc::new(watch), Arc::new(Notify::new()));
    let notified = loss.clone();
    watch.on_loss(Box::new(move || notified.notify_waiters()));
    let (stops, stopped) = oneshot::channel();
    let task = tokio::spawn(ping_until_stopped(guard, watch.clone(), interval.max(SHORTEST_INTERVAL), stopped));
    Ok(WatchedGuard { watch, loss, names, connection_id, stops, task })
}

async fn ping_until_stopped<G: Watchable>(
    mut guard: G,
    watch: Arc<Watch>,
    interval: Duration,
    mut stopped: oneshot::Receiver<()>,
) -> G {
    // Also if a ping panics: then the pings have ended.
    let lost = scopeguard::guard(watch.clone(), |watch| watch.lose());
    let mut is_stopped = false;
    while is_heard(&mut guard, &watch).await {
        if timeout(interval, &mut stopped).await.is_ok() {
            is_stopped = true;
            if !watch.is_lost() {
                scopeguard::ScopeGuard::into_inner(lost);
                return guard;
            }
            break;
        }
    }
    drop(lost);
    // Later, a `KILL` is less likely to fail.
    if !is_stopped {
        let _ = stopped.await;
    }
    guard.kill().await;
    guard
}

async fn is_heard<G: Watchable>(guard: &mut G, watch: &Watch) -> bool {
    let sent = watch.elapsed();
    watch.is_answered(sent, guard.still_holds().await)
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

    /// Waits until the lock is lost. The future may be dropped, and the method called again.
    pub async fn lost(&self) {
        loop {
            let mut loss = pin!(self.loss.notified());
            loss.as_mut().enable();
            if self.is_lost() {
                return;
            }
            let _ = timeout(self.watch.until_too_silent(), loss).await;
        }
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
    /// Awaits the answer to a ping that is under way, for at most 11 seconds.
    ///
    /// # Panics
    ///
    /// Panics if a hook of the application (Diesel's `Instrumentation`) panicked in a ping, or if the runtime of the pings has been shut down.
    /// The guard was dropped at that moment.
    pub async fn into_guard(self) -> G {
        drop(self.stops);
        match self.task.await {
            Ok(guard) => guard,
            Err(failed) => match failed.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                Err(_) => panic!("the runtime of a watched guard was shut down"),
            },
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
