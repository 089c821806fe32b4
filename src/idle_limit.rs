//! A limit for the time that a vanished host keeps its locks.

use std::time::Duration;

/// A limit for the time that the server waits for a silent client before it kills the session and frees its locks.
///
/// A host that loses its power or its network does not close its connections. For the server, such a connection is idle, and keeps its
/// locks for `wait_timeout`: 8 hours by default. An idle limit shortens those timeouts of the session that are longer: `wait_timeout`
/// between two statements, `net_read_timeout` and `net_write_timeout` in the middle of one (server manual, "Server System Variables").
///
/// [`NamedLock::idle_limit`](crate::NamedLock::idle_limit) sets it for one section. As an r2d2 customizer, it applies to every
/// connection of a pool:
///
/// ```no_run
/// use std::time::Duration;
///
/// use diesel::{MysqlConnection, r2d2::{ConnectionManager, Pool}};
/// use diesel_named_lock::IdleLimit;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let limit = Duration::from_secs(180);
/// let pool = Pool::builder()
///     .connection_customizer(Box::new(IdleLimit::new(limit)?))
///     .idle_timeout(Some(limit / 3))
///     .build(ConnectionManager::<MysqlConnection>::new("mysql://app@127.0.0.1/shop"))?;
/// # Ok(())
/// # }
/// ```
///
/// Costs four round trips for each new connection. The server also kills the pool's own idle connections after the limit. With an
/// `idle_timeout` well below it, the pool replaces them first (it checks every 30 seconds). Otherwise its test at check-out finds them.
///
/// # What it does to long closures
///
/// **A closure that does not touch its connection for as long as the limit loses its lock.** The section then returns
/// [`Lost`](crate::NamedLockError::Lost). Compute in [`keep_alive_while`](crate::NamedLockExt::keep_alive_while), with an interval of a
/// third of the limit or less.
///
/// # What it does not promise
///
/// * The time counts from the end of the statement that the server runs. A host that vanishes during a statement of an hour keeps its
///   locks for this hour plus the limit.
/// * The server does not notice that a host has vanished while its session waits for a lock. The session is granted the lock, and keeps
///   it for the limit.
/// * A proxy that has its own connection to the server decides itself when to close that connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct IdleLimit {
    seconds: u64,
}

/// The error of a duration that can't be an [`IdleLimit`].
///
/// ```
/// # use std::time::Duration;
/// # use diesel_named_lock::IdleLimit;
/// let error = IdleLimit::new(Duration::from_millis(900)).unwrap_err();
/// assert_eq!(error.to_string(), "invalid idle limit 900ms: must be from 1 second to 365 days");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid idle limit {0:?}: must be from 1 second to 365 days")]
pub struct InvalidIdleLimit(Duration);

impl IdleLimit {
    /// Creates a limit of 1 second to 365 days. Servers count whole seconds. A fraction is cut off, so that the session does not live
    /// longer than the limit.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidIdleLimit`] if `limit` is shorter or longer.
    pub fn new(limit: Duration) -> Result<Self, InvalidIdleLimit> {
        const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);
        let valid = Duration::from_secs(1) <= limit && limit <= LONGEST;
        if valid { Ok(Self { seconds: limit.as_secs() }) } else { Err(InvalidIdleLimit(limit)) }
    }

    pub(crate) fn seconds(self) -> u64 {
        self.seconds
    }
}
