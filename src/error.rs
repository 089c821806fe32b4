//! The error of a section.

use std::{convert::Infallible, error::Error, time::Duration};

use crate::{
    connection_id::ConnectionId,
    error_text::{already_held, behind, held_by, left_open, spent, stray},
    holder::SessionInfo,
    idle_limit::InvalidIdleLimit,
    name::{InvalidName, LockName},
    permits_error::InvalidPermits,
};

type Diesel = diesel::result::Error;

/// The error of a section: what happened to which lock, and what to do.
///
/// | the closure has… | variants |
/// |---|---|
/// | **not run** | [`InvalidName`](Self::InvalidName), [`InvalidIdleLimit`](Self::InvalidIdleLimit), [`InvalidPermits`](Self::InvalidPermits), [`OpenTransaction`](Self::OpenTransaction), [`AlreadyHeld`](Self::AlreadyHeld), [`Timeout`](Self::Timeout), [`NoConnection`](Self::NoConnection), [`Deadlock`](Self::Deadlock), [`Interrupted`](Self::Interrupted), [`Broken`](Self::Broken), [`Refused`](Self::Refused), [`PseudoThreadId`](Self::PseudoThreadId) |
/// | **run**, but perhaps not alone to the end | [`Lost`](Self::Lost), [`ConnectionSwapped`](Self::ConnectionSwapped) |
/// | **run**, and part of it was rolled back | [`TransactionLeftOpen`](Self::TransactionLeftOpen) |
///
/// [`Database`](Self::Database) is an error of the closure itself: it lets `?` turn Diesel's errors into this type.
///
/// The cause is told once: by the text of an error, or by its [`source`](Error::source). So a report of the whole chain
/// (`{error:#}` of `anyhow`) repeats nothing.
///
/// ```
/// use diesel_named_lock::NamedLockError;
///
/// fn http_status(error: &NamedLockError) -> u16 {
///     match error {
///         NamedLockError::Timeout { .. } => 409,
///         error if error.is_transient() => 503,
///         _ => 500,
///     }
/// }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NamedLockError {
    /// The name is not valid for a lock. No I/O took place.
    #[error(transparent)]
    InvalidName(#[from] InvalidName),

    /// The section's [idle limit](crate::NamedLock::idle_limit) is shorter than a second or longer than 365 days. No I/O took place.
    #[error(transparent)]
    InvalidIdleLimit(#[from] InvalidIdleLimit),

    /// A number of permits, or a name for them, is not valid. Nothing was sent to the server.
    #[error(transparent)]
    InvalidPermits(#[from] InvalidPermits),

    /// The lock was not free in time. The closure has not run, and nothing is held.
    ///
    /// The message shows the beginning of the statement that the holder runs, if this account may see it. Keep that in mind if people
    /// who must not see the data can read your logs.
    #[error(
        "named lock `{name}` was not free within {waited:.3?}{}{}: try again later or wait longer",
        spent(*.waited, *.in_queue, *.in_checkout),
        held_by(.holder)
    )]
    #[non_exhaustive]
    Timeout {
        /// The lock; of several, the one that was not free.
        name: LockName,
        /// How long the section waited, for all of its locks.
        waited: Duration,
        /// The part of `waited` that was spent behind other threads or tasks of this process. Zero without a
        /// [`NamedLockPool`](crate::pool::NamedLockPool).
        in_queue: Duration,
        /// The part of `waited` that was spent waiting for a connection of the pool. Zero without a
        /// [`NamedLockPool`](crate::pool::NamedLockPool).
        in_checkout: Duration,
        /// The session that held the lock right after the timeout, as far as the server shows it. `None` if the lock was free
        /// again. If the time was up behind other threads of this process, the server was not asked: then it is the connection id of
        /// the section that holds the lock, or `None` if that section waits, too.
        holder: Option<Box<SessionInfo>>,
    },

    /// The pool of a [`NamedLockPool`](crate::pool::NamedLockPool) gave no connection in time, so the lock was not asked for. The
    /// closure has not run, and nothing is held.
    #[error(
        "no connection for a section on named lock `{name}` within {waited:.3?}{}: {source}; if the server is up, \
         make the pool larger, or hold its connections for less time",
        behind(*.in_queue)
    )]
    #[non_exhaustive]
    NoConnection {
        /// The lock; of several, the first.
        name: LockName,
        /// How long the section waited, in the queue and for a connection.
        waited: Duration,
        /// The part of `waited` that was spent behind other threads or tasks of this process.
        in_queue: Duration,
        /// The pool's error.
        // `r#`: not `Error::source`, since the text has it. So wherever an error's text ends in its cause.
        r#source: Box<dyn Error + Send + Sync>,
    },

    /// The session's `pseudo_thread_id` is set. So `CONNECTION_ID()` is not the session's true number, and a section can't tell its
    /// own lock from that of another session. The closure has not run, and what was acquired was released again.
    #[error(
        "named lock `{name}` can't be used on connection {connection_id}: its `pseudo_thread_id` is {pseudo_thread_id}; \
         run `SET pseudo_thread_id = {connection_id}` first"
    )]
    #[non_exhaustive]
    PseudoThreadId {
        /// The lock.
        name: LockName,
        /// The session's true number.
        connection_id: ConnectionId,
        /// The value of the variable.
        pseudo_thread_id: ConnectionId,
    },

    /// This session already holds the lock: by an outer section, or by a `GET_LOCK` by hand that was never released. With a
    /// [`NamedLockPool`](crate::pool::NamedLockPool): this thread already holds the lock or waits for it.
    #[error("{}", already_held(.name, *.connection_id))]
    #[non_exhaustive]
    AlreadyHeld {
        /// The lock.
        name: LockName,
        /// The session that holds the lock: the caller's own. `None` if the thread's outer section has the lock or waits for
        /// it.
        connection_id: Option<ConnectionId>,
    },

    /// A transaction is open: what it has read may be older than the lock. No I/O took place.
    ///
    /// A transaction that Diesel's `begin_test_transaction` opened does not count, so code with sections can be tested.
    #[error(
        "section on named lock `{name}` refused inside a transaction (depth {depth}), whose view of the data \
         may be older than the lock: acquire the lock first, and begin inside its closure"
    )]
    #[non_exhaustive]
    OpenTransaction {
        /// The lock; of several, the first.
        name: LockName,
        /// How many transactions and savepoints are open.
        depth: u32,
    },

    /// The closure succeeded, but left a transaction open. It was rolled back before the lock was released.
    ///
    /// Also returned if the closure succeeded although the `ROLLBACK` of its own transaction had failed, for example because of a
    /// `KILL QUERY`. What was open, if anything, was rolled back. Diesel begins no more transactions on such a connection: drop it. A
    /// pool closes it at check-in.
    #[error("{}", left_open(.name, *.depth))]
    #[non_exhaustive]
    TransactionLeftOpen {
        /// The lock; of several, the first.
        name: LockName,
        /// How many transactions and savepoints the closure had left open. `None` if Diesel no longer knew, because its
        /// transaction manager was in error.
        depth: Option<u32>,
    },

    /// Sessions wait for each other's named locks in a circle, and the server chose this one to fail. With a
    /// [`NamedLockPool`](crate::pool::NamedLockPool): threads in the queue wait for each other. The closure has not run, and this
    /// section holds nothing. Retry only after the outer section has released its lock.
    #[error("waiting for named lock `{name}` would be a deadlock: acquire locks together, with `NamedLock::all_of`")]
    #[non_exhaustive]
    Deadlock {
        /// The lock that was waited for.
        name: LockName,
        /// The server's error. `None` if the deadlock was found in the queue of this process.
        source: Option<Diesel>,
    },

    /// The wait was interrupted: by `KILL QUERY`, or by a statement time limit of this session that is shorter than the timeout
    /// (MariaDB's `max_statement_time`; MySQL's `max_execution_time` interrupts no wait). The closure has not run, and nothing is
    /// held.
    #[error(
        "waiting for named lock `{name}` was interrupted after {waited:.3?}, by `KILL QUERY` or a statement time \
         limit (MariaDB's `max_statement_time`): try again"
    )]
    #[non_exhaustive]
    Interrupted {
        /// The lock that was waited for.
        name: LockName,
        /// How long the section had waited.
        waited: Duration,
        /// The server's error. `None` if it answered NULL, as MariaDB does.
        source: Option<Diesel>,
    },

    /// The closure has run, but at its end the server did not confirm that this session still held the lock. Another session may
    /// have held the lock while the closure ran. This session no longer holds it. If the session had to be killed, it holds the lock
    /// until the server has cleaned up, which takes some milliseconds.
    ///
    /// One exception: the closure replaced the connection by a dead one. A dead connection can't be asked for its id. The session
    /// that it replaced holds the lock until that connection is dropped.
    #[error(
        "named lock `{name}` was lost by connection {connection_id}: the section ran, but perhaps not alone; \
         check what it wrote before you run it again"
    )]
    #[non_exhaustive]
    Lost {
        /// The lock; of several, the first one that was found lost. If the session is gone, all of them are.
        name: LockName,
        /// The session that held it.
        connection_id: ConnectionId,
        /// The error of the release or of the roll-back. `None` if the server answered that the lock was not held, for example
        /// because the closure released it by hand.
        source: Option<Diesel>,
    },

    /// The closure replaced the connection that held the lock by another one. If the replaced session still held the lock, it was
    /// killed.
    #[error(
        "closure under named lock `{name}` replaced its connection: {expected} held the lock, {found} came back; {}; \
         don't swap or replace the connection inside the closure",
        stray(*.expected, *.ended, .source.is_some())
    )]
    #[non_exhaustive]
    ConnectionSwapped {
        /// The lock; of several, the first one that was to be released.
        name: LockName,
        /// The connection id of the session that held the lock.
        expected: ConnectionId,
        /// The connection id of the session that came back.
        found: ConnectionId,
        /// Whether the session that held the lock was killed, and then seen not to hold it. If `false` without a `source`, that
        /// session did not seem to hold the lock: it had lost the lock, an outer section has yet to release it, or the connection
        /// that came back talks to another server.
        ended: bool,
        /// Why the session that held the lock could not be killed. It still holds the lock.
        source: Option<Diesel>,
    },

    /// The connection can't be used: Diesel's transaction manager is in error, or the server is gone. The closure has not run. Drop
    /// the connection (a pool closes it at check-in) and use another one. If the session was killed while it waited, it may still be
    /// granted the lock for some milliseconds, until the server notices.
    #[error(
        "connection for a section on named lock `{name}` is broken: the server is gone, or Diesel's transaction manager is in \
         error; drop the connection and use another one"
    )]
    #[non_exhaustive]
    Broken {
        /// The lock.
        name: LockName,
        /// Diesel's error.
        source: Diesel,
    },

    /// The server refused the request; see `source`. The closure has not run, and nothing is held.
    #[error("named lock `{name}` was refused by the server: {source}")]
    #[non_exhaustive]
    Refused {
        /// The lock.
        name: LockName,
        /// The server's error.
        r#source: Diesel,
    },

    /// An error of the closure itself, not of the lock. In a section with a transaction, also an error of `BEGIN` or `COMMIT`.
    #[error(transparent)]
    Database(Diesel),
}

impl NamedLockError {
    /// Returns whether the lock was not free in time.
    ///
    /// ```
    /// use diesel_named_lock::NamedLockError;
    ///
    /// assert!(!NamedLockError::from(diesel::result::Error::NotFound).is_timeout());
    /// ```
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Timeout { .. })
    }

    /// Returns whether the closure has run: the first question before a retry.
    ///
    /// `true` for [`Lost`](Self::Lost), [`ConnectionSwapped`](Self::ConnectionSwapped) and
    /// [`TransactionLeftOpen`](Self::TransactionLeftOpen). Also for [`Database`](Self::Database), the error of the closure itself, or
    /// of the `BEGIN` or `COMMIT` around it.
    ///
    /// ```
    /// use diesel_named_lock::NamedLockError;
    ///
    /// assert!(NamedLockError::from(diesel::result::Error::NotFound).work_ran());
    /// ```
    #[must_use]
    pub fn work_ran(&self) -> bool {
        matches!(
            self,
            Self::Lost { .. } | Self::ConnectionSwapped { .. } | Self::TransactionLeftOpen { .. } | Self::Database(_)
        )
    }

    /// Returns whether the closure has not run and the same call may succeed later.
    ///
    /// `true` for [`Timeout`](Self::Timeout), [`NoConnection`](Self::NoConnection), [`Interrupted`](Self::Interrupted),
    /// [`Broken`](Self::Broken) (on another connection), and [`Deadlock`](Self::Deadlock) (after the outer section has released its
    /// lock). So retry the outermost section, on a new checkout, after a pause.
    ///
    /// `false` for [`Lost`](Self::Lost): the closure has run, and only its author knows whether it may run twice. `false` for
    /// [`Database`](Self::Database): ask Diesel's error itself.
    ///
    /// ```
    /// use diesel_named_lock::NamedLockError;
    ///
    /// /// `attempt` checks a connection out and runs the outermost section on it.
    /// fn with_retry<T>(mut attempt: impl FnMut() -> Result<T, NamedLockError>) -> Result<T, NamedLockError> {
    ///     for pause in [50, 200, 800].map(std::time::Duration::from_millis) {
    ///         match attempt() {
    ///             Err(error) if error.is_transient() => std::thread::sleep(pause),
    ///             outcome => return outcome,
    ///         }
    ///     }
    ///     attempt()
    /// }
    /// ```
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Timeout { .. }
                | Self::NoConnection { .. }
                | Self::Deadlock { .. }
                | Self::Interrupted { .. }
                | Self::Broken { .. }
        )
    }
}

/// For `?` in the closure. An error of this crate inside Diesel's error becomes itself again.
impl From<diesel::result::Error> for NamedLockError {
    fn from(error: diesel::result::Error) -> Self {
        recover(error, Self::Database)
    }
}

/// Takes an error of this crate out of Diesel's. If there is none, makes one `otherwise`.
pub(crate) fn recover<E: Error + Send + Sync + 'static>(error: Diesel, otherwise: impl FnOnce(Diesel) -> E) -> E {
    match error {
        Diesel::QueryBuilderError(inner) => match inner.downcast() {
            Ok(ours) => *ours,
            Err(inner) => otherwise(Diesel::QueryBuilderError(inner)),
        },
        error => otherwise(error),
    }
}

/// For code that returns Diesel's error. [`NamedLockError::Database`] becomes the error that it holds. Every other variant is put
/// into a [`QueryBuilderError`](diesel::result::Error::QueryBuilderError), from which you can recover it. `?` into a
/// [`NamedLockError`] recovers it, too.
///
/// ```
/// use diesel::result::Error::QueryBuilderError;
/// use diesel_named_lock::NamedLockError;
///
/// fn was_busy(error: &diesel::result::Error) -> bool {
///     match error {
///         QueryBuilderError(inner) => inner.downcast_ref().is_some_and(NamedLockError::is_timeout),
///         _ => false,
///     }
/// }
/// ```
impl From<NamedLockError> for diesel::result::Error {
    fn from(error: NamedLockError) -> Self {
        match error {
            NamedLockError::Database(error) => error,
            error => Self::QueryBuilderError(Box::new(error)),
        }
    }
}

/// A [`LockName`] is already valid, so its conversion can't fail. This lets methods accept it like an unchecked name.
impl From<Infallible> for NamedLockError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}
