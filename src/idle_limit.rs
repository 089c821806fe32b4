//! A bound on how long a host that vanished keeps its locks.

use std::time::Duration;

/// A bound on how long the server waits for a silent client before it kills the session and frees its locks.
///
/// A host that loses its power or its network does not close its connections. The server takes such a connection for one
/// that is idle, and lets it keep its locks for its `wait_timeout`: 8 hours by default. This shortens the session's
/// timeouts to the bound, where they are longer: `wait_timeout` between two statements, `net_read_timeout` and
/// `net_write_timeout` in the middle of one (server manual, "Server System Variables").
///
/// For one section, by [`NamedLock::idle_limit`](crate::NamedLock::idle_limit); or, as an r2d2 customizer, for every
/// connection of a pool:
///
/// ```no_run
/// use std::time::Duration;
///
/// use diesel::{MysqlConnection, r2d2::{ConnectionManager, Pool}};
/// use diesel_named_lock::IdleLimit;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let bound = Duration::from_secs(180);
/// let pool = Pool::builder()
///     .connection_customizer(Box::new(IdleLimit::new(bound)?))
///     .idle_timeout(Some(bound / 3))
///     .build(ConnectionManager::<MysqlConnection>::new("mysql://app@127.0.0.1/shop"))?;
/// # Ok(())
/// # }
/// ```
///
/// Four round trips at each new connection. The server ends the pool's own idle connections after the bound, too: with an
/// `idle_timeout` well below it, the pool replaces them first (it looks every 30 seconds); otherwise its test at check-out
/// finds them.
///
/// # What it does to long work
///
/// **Work that does not touch its connection for as long as the bound loses its lock**, and is told so at the end:
/// [`Lost`](crate::NamedLockError::Lost). Let it compute in [`keep_alive_while`](crate::NamedLockExt::keep_alive_while), with an
/// interval of a third of the bound or less.
///
/// # What it does not promise
///
/// * The time counts from the end of the statement that the server runs. A host that vanishes during a statement of an hour
///   keeps its locks for this hour and the bound.
/// * The server does not see that a host has vanished while its session waits for a lock: the session is granted the lock,
///   and keeps it for the bound.
/// * A proxy that keeps its own connection to the server decides itself when to give that up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct IdleLimit {
    seconds: u64,
}

/// A duration that can't be an [`IdleLimit`].
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
    /// Creates a limit of 1 second to 365 days. Servers count whole seconds: a part of one is left off, so that the session does
    /// not live longer than was said.
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
