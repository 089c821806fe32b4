//! Leader election on async connections. [`leadership`](crate::leadership) says what it promises and what not, and has the same names.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use diesel_async::{AsyncConnection, AsyncMysqlConnection};
//! use diesel_named_lock::nonblocking::leadership::LeaderElection;
//!
//! # async fn run_due_jobs() {}
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let connect = || AsyncMysqlConnection::establish("mysql://app@127.0.0.1/shop");
//! let election = LeaderElection::new("shop:scheduler", connect)?;
//! loop {
//!     let leadership = election.campaign(Duration::MAX).await?;
//!     while leadership.is_leader() {
//!         run_due_jobs().await;
//!         let _ = tokio::time::timeout(Duration::from_secs(1), leadership.stepped_down()).await;
//!     }
//!     let _ = leadership.resign().await;
//! }
//! # }
//! ```
//!
//! A leadership that is dropped closes its connection. Within milliseconds, the server notices, and the next candidate leads.

use std::{
    error::Error,
    fmt,
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
    time::{Duration, Instant},
};

use log::{debug, warn};
use tokio::time::sleep;

#[cfg(feature = "fence")]
use super::fence::{self, FenceError, FencingToken};
use super::{
    AsyncWork, NamedLock, NamedLockGuard, OwnedConnection, WatchedGuard,
    unfinished::{finished, unfinished},
};
pub use crate::leadership::{CampaignError, StepDown};
use crate::{
    backoff::Backoff,
    connection_id::ConnectionId,
    driver::nonblocking::Nonblocking,
    error::NamedLockError,
    holder::SessionInfo,
    keep_alive_error::KeepAliveError,
    leadership::step_down::{Requests, warn_of_late},
    log_target::TARGET,
    name::LockName,
    section::{ask::describe_holder, outcome::Section},
};

type BoxError = Box<dyn Error + Send + Sync>;
type Connect<C> = dyn Fn() -> Pin<Box<dyn Future<Output = Result<C, BoxError>> + Send>> + Send + Sync;

/// A candidate for a leadership: [`LeaderElection`](crate::leadership::LeaderElection) for async
/// connections.
pub struct LeaderElection<C> {
    lock: NamedLock,
    idle_limit: Duration,
    longest_pause: Duration,
    connect: Box<Connect<C>>,
}

impl<C: OwnedConnection> LeaderElection<C> {
    /// Creates a candidate. `connect` makes the connection of each attempt. The leader keeps it for as long as it leads.
    ///
    /// # Errors
    ///
    /// Returns [`NamedLockError::InvalidName`] if the name is not valid. Never fails for a [`LockName`].
    pub fn new<F, E>(
        name: impl TryInto<LockName, Error: Into<NamedLockError>>,
        connect: impl Fn() -> F + Send + Sync + 'static,
    ) -> Result<Self, NamedLockError>
    where
        F: Future<Output = Result<C, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        let connect = move || -> Pin<Box<dyn Future<Output = _> + Send>> {
            let connected = connect();
            Box::pin(async move { connected.await.map_err(Into::into) })
        };
        Ok(Self {
            lock: NamedLock::new(name)?,
            idle_limit: Duration::from_secs(15),
            longest_pause: Duration::from_secs(5),
            connect: Box::new(connect),
        })
    }

    /// Sets how long a leader that has gone silent keeps other candidates from leading, like
    /// [`LeaderElection::idle_limit`](crate::leadership::LeaderElection::idle_limit). Defaults to 15 seconds.
    #[must_use]
    pub fn idle_limit(mut self, limit: Duration) -> Self {
        self.idle_limit = limit;
        self
    }

    /// Sets the longest pause between two attempts, like
    /// [`LeaderElection::longest_pause`](crate::leadership::LeaderElection::longest_pause). Defaults to 5 seconds.
    #[must_use]
    pub fn longest_pause(mut self, pause: Duration) -> Self {
        self.longest_pause = pause;
        self
    }

    /// Returns the name of the lock.
    #[must_use]
    pub fn name(&self) -> &LockName {
        &self.lock.names()[0]
    }

    /// Waits for the leadership for at most `timeout`, and for the function that connects. [`Duration::MAX`] waits for ever, zero asks once. The future may be dropped at any
    /// moment.
    ///
    /// **A connection is not bounded by `timeout`.** If a pool gives it, its own timeout holds: 30 seconds by default in r2d2 and bb8, and none
    /// in deadpool. Give the candidates a pool, or connections, of their own.
    ///
    /// It waits in the server's queue. After an error that may go away, it logs the error at `warn` and tries again on a new connection.
    ///
    /// # Errors
    ///
    /// Returns the last error if the time is up. If [`is_timeout`](CampaignError::is_timeout), another candidate leads. Returns an error at
    /// once if it does not go away by itself, such as [`InvalidIdleLimit`](NamedLockError::InvalidIdleLimit).
    pub async fn campaign(&self, timeout: Duration) -> Result<Leadership<C>, CampaignError> {
        let start = Instant::now();
        let mut backoff = Backoff::new(self.longest_pause);
        loop {
            let error = match self.attempt(start, timeout).await {
                Ok(leadership) => return Ok(leadership),
                Err(error) => error,
            };
            let left = timeout.saturating_sub(start.elapsed());
            if left.is_zero() || !error.is_transient() {
                return Err(error);
            }
            warn!(target: TARGET, "the campaign for named lock `{}` continues after an error: {error}", self.name());
            sleep(backoff.next().min(left)).await;
        }
    }

    /// Campaigns, runs `work` as the leader, and resigns. Call it in a loop to lead again and again.
    ///
    /// `work` must return soon after this process is no longer the leader. [`Section::error`] is [`Lost`](NamedLockError::Lost) if this
    /// process was not the leader until `work` returned.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`campaign`](Self::campaign), and only if `work` has not run.
    pub async fn lead<T, F>(&self, timeout: Duration, work: F) -> Result<Section<T>, CampaignError>
    where
        T: Send,
        for<'r> F: AsyncFnOnce(&'r Leadership<C>) -> T + AsyncWork<&'r Leadership<C>, T, Future: Send> + Send,
    {
        let start = Instant::now();
        let leadership = self.campaign(timeout).await?;
        let (waited, granted) = (start.elapsed(), Instant::now());
        let value = work(&leadership).await;
        let error = leadership.resign().await.err();
        Ok(Section { value, waited, held: granted.elapsed(), error })
    }

    /// Returns the session that leads now, as far as the server shows it to this account. `None` if there is no leader. Asks on a new
    /// connection.
    ///
    /// # Errors
    ///
    /// Returns [`CampaignError::NoConnection`] if there is no connection, or [`NamedLockError::Database`] if the server does not answer.
    pub async fn leader(&self) -> Result<Option<SessionInfo>, CampaignError> {
        let mut conn = self.connected().await?;
        let mut conn = unfinished(&mut conn);
        let holder = describe_holder::<Nonblocking, C>(&mut conn, self.name()).await;
        Ok(finished(conn, holder).map_err(NamedLockError::from)?)
    }

    async fn connected(&self) -> Result<C, CampaignError> {
        (self.connect)().await.map_err(CampaignError::NoConnection)
    }

    async fn attempt(&self, start: Instant, timeout: Duration) -> Result<Leadership<C>, CampaignError> {
        let conn = self.connected().await?;
        let left = timeout.saturating_sub(start.elapsed());
        let lock = self.lock.clone().timeout(left).idle_limit(self.idle_limit);
        let guard = lock.acquire(conn).await.map_err(NamedLockError::from)?;
        #[cfg(feature = "fence")]
        let (guard, term) = self.with_term(guard).await?;
        let connection = guard.connection_id().get();
        // The server's limit in whole seconds is never less than three times this.
        let interval = Duration::from_secs(self.idle_limit.as_secs()) / 3;
        let watched = match guard.keep_alive(interval).await {
            // The server's own `wait_timeout` is shorter than the idle limit.
            Err(KeepAliveError::InvalidInterval { guard, longest: Some(longest), .. }) => {
                guard.keep_alive(longest / 3).await
            }
            watched => watched,
        };
        let watched = watched.map_err(|failed| self.not_kept_alive(failed))?;
        debug!(target: TARGET, connection; "leads by named lock `{}` on connection {connection}", self.name());
        Ok(Leadership {
            watched: Some(watched),
            requests: Arc::default(),
            elected: Instant::now(),
            #[cfg(feature = "fence")]
            term,
        })
    }

    fn not_kept_alive(&self, failed: KeepAliveError<NamedLockGuard<C>>) -> NamedLockError {
        let source = match failed {
            KeepAliveError::Database { source, .. } => source,
            KeepAliveError::InvalidInterval { .. } => unreachable!("a third of the session's `wait_timeout`"),
        };
        NamedLockError::Broken { name: self.name().clone(), source }
    }

    /// Without a term if there is no table for it.
    #[cfg(feature = "fence")]
    async fn with_term(
        &self,
        mut guard: NamedLockGuard<C>,
    ) -> Result<(NamedLockGuard<C>, Option<FencingToken>), CampaignError> {
        match fence::next_token(&mut *guard, self.name()).await {
            Ok(term) => Ok((guard, Some(term))),
            Err(error @ FenceError::NoTable { .. }) => {
                debug!(target: TARGET, "leads without a term: {error}");
                Ok((guard, None))
            }
            Err(error) => Err(CampaignError::NoTerm(error)),
        }
    }
}

impl<C> fmt::Debug for LeaderElection<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeaderElection")
            .field("lock", &self.lock)
            .field("idle_limit", &self.idle_limit)
            .field("longest_pause", &self.longest_pause)
            .finish_non_exhaustive()
    }
}

/// A leadership, until it is lost, [resigned](Self::resign), or dropped: [`Leadership`](crate::leadership::Leadership) on an async
/// connection.
///
/// Its methods answer from memory. If it is dropped, its connection is closed. So await [`resign`](Self::resign).
#[must_use = "its connection is closed when it is dropped"]
pub struct Leadership<C: OwnedConnection> {
    /// `None` once it is resigned.
    watched: Option<WatchedGuard<NamedLockGuard<C>>>,
    requests: Arc<Requests>,
    elected: Instant,
    #[cfg(feature = "fence")]
    term: Option<FencingToken>,
}

impl<C: OwnedConnection> Leadership<C> {
    /// Returns whether this process is the leader: it was not asked to step down, and the lock is not known to be lost. Once `false`, it
    /// stays `false`.
    ///
    /// `true` may be as old as the last ping. It is never `true` once this session has been silent for the
    /// [idle limit](LeaderElection::idle_limit), after which the server may give the lock to another session.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        !*self.requests.lock() && !self.watched().is_lost()
    }

    /// Waits until this process is no longer the leader. The future may be dropped, and the method called again.
    pub async fn stepped_down(&self) {
        let mut requested = pin!(self.requests.notice.notified());
        requested.as_mut().enable();
        if *self.requests.lock() {
            return;
        }
        let mut lost = pin!(self.watched().lost());
        std::future::poll_fn(|cx| {
            let is_requested = requested.as_mut().poll(cx).is_ready();
            if is_requested { std::task::Poll::Ready(()) } else { lost.as_mut().poll(cx) }
        })
        .await;
    }

    /// Returns a handle with which any thread or task can ask this leader to step down.
    #[must_use]
    pub fn step_down(&self) -> StepDown {
        StepDown(self.requests.clone())
    }

    /// Returns the number of this leadership, which is larger than those of all earlier leaderships. It is a fencing token, which
    /// [`fence::check`] refuses once another leader was elected.
    ///
    /// `None` if the leader's database has no table for tokens: see [`fence`](crate::fence).
    #[cfg(feature = "fence")]
    #[must_use]
    pub fn term(&self) -> Option<FencingToken> {
        self.term
    }

    /// Returns when this leader was elected.
    #[must_use]
    pub fn elected(&self) -> Instant {
        self.elected
    }

    /// Returns how long ago the last answered ping was sent.
    #[must_use]
    pub fn silent_for(&self) -> Duration {
        self.watched().silent_for()
    }

    /// Returns the name of the lock.
    #[must_use]
    pub fn name(&self) -> &LockName {
        &self.watched().names()[0]
    }

    /// Returns the id of the leader's session.
    #[must_use]
    pub fn connection_id(&self) -> ConnectionId {
        self.watched().connection_id()
    }

    /// Releases the lock and awaits the server's confirmation. Within milliseconds, the server gives the lock to the candidate that has
    /// waited longest.
    ///
    /// # Errors
    ///
    /// Returns [`NamedLockError::Lost`] if the lock was lost before.
    pub async fn resign(mut self) -> Result<(), NamedLockError> {
        let watched = self.watched.take().expect(UNTIL_RESIGNED);
        if !watched.is_lost() {
            return Ok(watched.into_guard().await.release().await.map(drop)?);
        }
        tell_late(&watched);
        Err(NamedLockError::Lost {
            name: watched.names()[0].clone(),
            connection_id: watched.connection_id(),
            source: None,
        })
    }

    fn watched(&self) -> &WatchedGuard<NamedLockGuard<C>> {
        self.watched.as_ref().expect(UNTIL_RESIGNED)
    }
}

const UNTIL_RESIGNED: &str = "a leadership has its lock until it is resigned";

fn tell_late<G>(watched: &WatchedGuard<G>) {
    warn_of_late(&watched.names()[0], watched.connection_id(), watched.lost_for());
}

impl<C: OwnedConnection> Drop for Leadership<C> {
    fn drop(&mut self) {
        self.watched.as_ref().inspect(|watched| tell_late(watched));
    }
}

impl<C: OwnedConnection> fmt::Debug for Leadership<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leadership").field("watched", &self.watched).finish_non_exhaustive()
    }
}
