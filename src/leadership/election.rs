//! A candidate that campaigns for a lock, in spite of errors and lost servers.

use std::{
    error::Error,
    fmt, thread,
    time::{Duration, Instant},
};

use log::{debug, warn};

use super::{CampaignError, Leadership};
#[cfg(feature = "fence")]
use crate::fence::{self, FenceError, FencingToken};
use crate::{
    backoff::Backoff,
    blocking::guard::NamedLockGuard,
    driver::{
        blocking::{Blocking, ready},
        status::NamedLockConnection,
    },
    error::NamedLockError,
    holder::SessionInfo,
    keep_alive_error::KeepAliveError,
    lock::NamedLock,
    log_target::TARGET,
    name::LockName,
    section::{ask::describe_holder, outcome::Section},
};

type BoxError = Box<dyn Error + Send + Sync>;

#[cfg(feature = "fence")]
type Elected<C> = (NamedLockGuard<C>, Option<FencingToken>);

/// A candidate for a leadership: the process that holds the named lock leads.
///
/// One candidate for each process is enough. It holds nothing until [`campaign`](Self::campaign) or [`lead`](Self::lead) is called.
pub struct LeaderElection<C> {
    lock: NamedLock,
    idle_limit: Duration,
    longest_pause: Duration,
    connect: Box<dyn Fn() -> Result<C, BoxError> + Send + Sync>,
}

impl<C: NamedLockConnection + Send + 'static> LeaderElection<C> {
    /// Creates a candidate. `connect` makes the connection of each attempt: `MysqlConnection::establish`, or a pool's `get`. The
    /// leader keeps it for as long as it leads.
    ///
    /// ```no_run
    /// # use diesel::{MysqlConnection, r2d2::{ConnectionManager, Pool}};
    /// # use diesel_named_lock::{NamedLockError, leadership::LeaderElection};
    /// # fn run(pool: Pool<ConnectionManager<MysqlConnection>>) -> Result<(), NamedLockError> {
    /// let election = LeaderElection::new("shop:scheduler", move || pool.get())?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`NamedLockError::InvalidName`] if the name is not valid. Never fails for a [`LockName`].
    pub fn new<E: Into<BoxError>>(
        name: impl TryInto<LockName, Error: Into<NamedLockError>>,
        connect: impl Fn() -> Result<C, E> + Send + Sync + 'static,
    ) -> Result<Self, NamedLockError> {
        Ok(Self {
            lock: NamedLock::new(name)?,
            idle_limit: Duration::from_secs(15),
            longest_pause: Duration::from_secs(5),
            connect: Box::new(move || connect().map_err(Into::into)),
        })
    }

    /// Sets how long a leader that has gone silent keeps other candidates from leading: see [`NamedLock::idle_limit`]. Its session is
    /// pinged three times as often. From 1 second to 365 days, in whole seconds. For any other value, the campaign returns an error, before
    /// any I/O.
    ///
    /// Defaults to 15 seconds.
    #[must_use]
    pub fn idle_limit(mut self, limit: Duration) -> Self {
        self.idle_limit = limit;
        self
    }

    /// Sets the longest pause between two attempts while they fail. The first pause is 50 ms, each later pause is twice as long, and all
    /// are shortened by up to a half at random. Less than 50 ms counts as 50 ms.
    ///
    /// Defaults to 5 seconds.
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

    /// Waits for the leadership for at most `timeout`, and for the function that connects. [`Duration::MAX`] waits for ever, zero asks once.
    ///
    /// **A connection is not bounded by `timeout`.** If a pool gives it, its own timeout holds: 30 seconds by default in r2d2 and bb8, and none
    /// in deadpool. Give the candidates a pool, or connections, of their own.
    ///
    /// It waits in the server's queue. After an error that may go away, it logs the error at `warn` and tries again on a new connection. So a
    /// campaign continues while the server is gone. To be able to stop, campaign with a timeout of some seconds, in a loop.
    ///
    /// # Errors
    ///
    /// Returns the last error if the time is up. If [`is_timeout`](CampaignError::is_timeout), another candidate leads. Returns an error at
    /// once if it does not go away by itself, such as [`InvalidIdleLimit`](NamedLockError::InvalidIdleLimit) or
    /// [`OpenTransaction`](NamedLockError::OpenTransaction).
    pub fn campaign(&self, timeout: Duration) -> Result<Leadership<C>, CampaignError> {
        let start = Instant::now();
        let mut backoff = Backoff::new(self.longest_pause);
        loop {
            let error = match self.attempt(start, timeout) {
                Ok(leadership) => return Ok(leadership),
                Err(error) => error,
            };
            let left = timeout.saturating_sub(start.elapsed());
            if left.is_zero() || !error.is_transient() {
                return Err(error);
            }
            warn!(target: TARGET, "the campaign for named lock `{}` continues after an error: {error}", self.name());
            thread::sleep(backoff.next().min(left));
        }
    }

    /// Campaigns, runs `work` as the leader, and resigns. Call it in a loop to lead again and again.
    ///
    /// `work` must return soon after this process is no longer the leader. [`Section::error`] is [`Lost`](NamedLockError::Lost) if this
    /// process was not the leader until `work` returned.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # use diesel::{Connection, MysqlConnection};
    /// # use diesel_named_lock::leadership::{CampaignError, LeaderElection};
    /// # fn start_due_jobs() {}
    /// # fn run(election: LeaderElection<MysqlConnection>) -> Result<(), CampaignError> {
    /// let led = election.lead(Duration::MAX, |leadership| {
    ///     while !leadership.stepped_down(Duration::from_secs(1)) {
    ///         start_due_jobs();
    ///     }
    /// })?;
    /// println!("led for {:?}", led.held);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns the errors of [`campaign`](Self::campaign), and only if `work` has not run.
    pub fn lead<T>(
        &self,
        timeout: Duration,
        work: impl FnOnce(&Leadership<C>) -> T,
    ) -> Result<Section<T>, CampaignError> {
        let start = Instant::now();
        let leadership = self.campaign(timeout)?;
        let (waited, granted) = (start.elapsed(), Instant::now());
        let value = work(&leadership);
        let error = leadership.resign().err();
        Ok(Section { value, waited, held: granted.elapsed(), error })
    }

    /// Returns the session that leads now, as far as the server shows it to this account. `None` if there is no leader. Asks on a new
    /// connection.
    ///
    /// # Errors
    ///
    /// Returns [`CampaignError::NoConnection`] if there is no connection, or [`NamedLockError::Database`] if the server does not answer.
    pub fn leader(&self) -> Result<Option<SessionInfo>, CampaignError> {
        let mut conn = self.connected()?;
        Ok(ready(describe_holder::<Blocking, C>(&mut conn, self.name())).map_err(NamedLockError::from)?)
    }

    fn connected(&self) -> Result<C, CampaignError> {
        (self.connect)().map_err(CampaignError::NoConnection)
    }

    fn attempt(&self, start: Instant, timeout: Duration) -> Result<Leadership<C>, CampaignError> {
        let conn = self.connected()?;
        let left = timeout.saturating_sub(start.elapsed());
        let guard = self.lock.clone().timeout(left).idle_limit(self.idle_limit).acquire(conn);
        let guard = guard.map_err(NamedLockError::from)?;
        self.begin(guard)
    }

    fn begin(&self, guard: NamedLockGuard<C>) -> Result<Leadership<C>, CampaignError> {
        #[cfg(feature = "fence")]
        let (guard, term) = self.with_term(guard)?;
        let connection = guard.connection_id().get();
        // The server's limit in whole seconds is never less than three times this.
        let interval = Duration::from_secs(self.idle_limit.as_secs()) / 3;
        let watched = match guard.keep_alive(interval) {
            // The server's own `wait_timeout` is shorter than the idle limit.
            Err(KeepAliveError::InvalidInterval { guard, longest: Some(longest), .. }) => guard.keep_alive(longest / 3),
            watched => watched,
        };
        let watched = watched.map_err(|failed| self.not_kept_alive(failed))?;
        debug!(target: TARGET, connection; "leads by named lock `{}` on connection {connection}", self.name());
        Ok(Leadership::new(
            watched,
            #[cfg(feature = "fence")]
            term,
        ))
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
    fn with_term(&self, mut guard: NamedLockGuard<C>) -> Result<Elected<C>, CampaignError> {
        match fence::next_token(&mut *guard, self.name()) {
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
