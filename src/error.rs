//! What can go wrong with a section, and what to do about it.

use std::{convert::Infallible, error::Error, time::Duration};

use crate::{
    connection_id::ConnectionId,
    error_text::{already_held, behind, held_by, left_open, spent, stray},
    holder::SessionInfo,
    idle_limit::InvalidIdleLimit,
    name::{InvalidName, LockName},
};

type Diesel = diesel::result::Error;

/// What went wrong with a section: which lock, what happened, what to do.
///
/// | the work has… | variants |
/// |---|---|
/// | **not run** | [`InvalidName`](Self::InvalidName), [`InvalidIdleLimit`](Self::InvalidIdleLimit), [`OpenTransaction`](Self::OpenTransaction), [`AlreadyHeld`](Self::AlreadyHeld), [`Timeout`](Self::Timeout), [`NoConnection`](Self::NoConnection), [`Deadlock`](Self::Deadlock), [`Interrupted`](Self::Interrupted), [`Broken`](Self::Broken), [`Refused`](Self::Refused), [`PseudoThreadId`](Self::PseudoThreadId) |
/// | **run**, but was not shown to be alone to the end | [`Lost`](Self::Lost), [`ConnectionSwapped`](Self::ConnectionSwapped) |
/// | **run**, and part of it was rolled back | [`TransactionLeftOpen`](Self::TransactionLeftOpen) |
///
/// [`Database`](Self::Database) is the work's own: it lets `?` turn Diesel's errors into this type.
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
    /// The name can't name a lock. Found before any I/O.
    #[error(transparent)]
    InvalidName(#[from] InvalidName),

    /// The section's [idle limit](crate::NamedLock::idle_limit) is shorter than a second or longer than 365 days. Found before any
    /// I/O.
    #[error(transparent)]
    InvalidIdleLimit(#[from] InvalidIdleLimit),

    /// The lock was not free in time. The work has not run; nothing is held.
    ///
    /// The message shows the beginning of the statement that the holder runs, if this account may see it: think of that
    /// where logs go to people who must not see the data.
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
        /// How much of it behind other threads of this process; the rest is the server's. By a
        /// [`NamedLockPool`](crate::pool::NamedLockPool) only, else zero.
        in_queue: Duration,
        /// How much of it for a connection of the pool. By a [`NamedLockPool`](crate::pool::NamedLockPool) only, else zero.
        in_checkout: Duration,
        /// Who held it right after, as far as the server tells; `None` if it was free again by then, or the server was not
        /// asked since the time was up before.
        holder: Option<Box<SessionInfo>>,
    },

    /// The pool of a [`NamedLockPool`](crate::pool::NamedLockPool) gave no connection in time, so nobody asked for the lock. The work
    /// has not run; nothing is held.
    #[error(
        "no connection for a section on named lock `{name}` within {waited:.3?}{}: {source}; \
         the pool is too small, or its connections are held for too long",
        behind(*.in_queue)
    )]
    #[non_exhaustive]
    NoConnection {
        /// The lock; of several, the first.
        name: LockName,
        /// How long the section waited, in the queue and for a connection.
        waited: Duration,
        /// How much of it behind other threads of this process.
        in_queue: Duration,
        /// What the pool says.
        source: Box<dyn Error + Send + Sync>,
    },

    /// The session's `pseudo_thread_id` is set, so that `CONNECTION_ID()` is not the number by which others know the session, and
    /// a section can't tell its own lock from another's. The work has not run; what was acquired was released again.
    #[error(
        "no section on named lock `{name}`: connection {connection_id} calls itself {pseudo_thread_id}: \
         `SET pseudo_thread_id = {connection_id}` first"
    )]
    #[non_exhaustive]
    PseudoThreadId {
        /// The lock.
        name: LockName,
        /// The session's number, as others know it.
        connection_id: ConnectionId,
        /// What the variable was set to.
        pseudo_thread_id: ConnectionId,
    },

    /// This very session holds the lock already: an outer section, or a `GET_LOCK` by hand that was never released. Or, with
    /// a [`NamedLockPool`](crate::pool::NamedLockPool), this very thread.
    #[error("{}", already_held(.name, *.connection_id))]
    #[non_exhaustive]
    AlreadyHeld {
        /// The lock.
        name: LockName,
        /// The session that holds it: the caller's own. `None` where it is the thread's outer section that has the lock or
        /// waits for it.
        connection_id: Option<ConnectionId>,
    },

    /// A transaction is open: what it has read may be older than the lock. Found before any I/O.
    ///
    /// A transaction that Diesel's `begin_test_transaction` opened does not count, so code with sections can be tested.
    #[error(
        "a section on named lock `{name}` can't begin inside a transaction (depth {depth}), whose view of the data \
         may be older than the lock: take the lock first, then begin (`with_named_lock_transaction`)"
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
    /// Or the closure succeeded although the `ROLLBACK` of a transaction of its own had failed, as when `KILL QUERY` struck it.
    /// What was open, if anything, was rolled back. Diesel begins no transaction on such a connection any more: drop it. A pool
    /// closes it at check-in.
    #[error("{}", left_open(.name, *.depth))]
    #[non_exhaustive]
    TransactionLeftOpen {
        /// The lock; of several, the first.
        name: LockName,
        /// How many transactions and savepoints the closure had left open. `None` if Diesel did not know any more: its
        /// transaction manager was in error.
        depth: Option<u32>,
    },

    /// Sessions wait for each other's named locks in a circle, and the server chose this one to give up. The work has
    /// not run; nothing of this section is held. Retry only after letting go of the outer section's lock. Or, with a
    /// [`NamedLockPool`](crate::pool::NamedLockPool), threads that queue wait for each other.
    #[error("waiting for named lock `{name}` would be a deadlock: take locks together, with `NamedLock::all_of`")]
    #[non_exhaustive]
    Deadlock {
        /// The lock that was waited for.
        name: LockName,
        /// The server's answer; `None` where it was found in the queue of this process.
        source: Option<Diesel>,
    },

    /// The wait was ended from outside: by `KILL QUERY`, or by a statement time limit of this session that is shorter than the
    /// timeout (MariaDB's `max_statement_time`; MySQL's `max_execution_time` ends no wait). The work has not run; nothing is held.
    #[error(
        "waiting for named lock `{name}` was interrupted after {waited:.3?}, by `KILL QUERY` or a statement time \
         limit (`max_statement_time`): try again"
    )]
    #[non_exhaustive]
    Interrupted {
        /// The lock that was waited for.
        name: LockName,
        /// How long the section had waited.
        waited: Duration,
        /// The server's error; `None` where it answered NULL, as MariaDB does.
        source: Option<Diesel>,
    },

    /// The work has run, but at its end the server did not confirm that the lock was still ours: somebody else may
    /// have held it meanwhile. The session holds it no more, or, where it had to be ended, not for longer than the server
    /// takes to clean up: some milliseconds.
    ///
    /// One way round this is left: work that put a connection that is dead in place of ours. It can't be asked for its id,
    /// and the session that it replaced holds the lock until it is dropped.
    #[error(
        "named lock `{name}` was lost by connection {connection_id}: the work ran, but perhaps not alone; \
         check what it wrote before doing it again"
    )]
    #[non_exhaustive]
    Lost {
        /// The lock; of several, the first that was found lost.
        name: LockName,
        /// The session that held it.
        connection_id: ConnectionId,
        /// What the release or the roll-back failed with; `None` where the server answered that the lock was not held,
        /// as when the work released it by hand.
        source: Option<Diesel>,
    },

    /// The work put another connection in place of the one that held the lock. Where that one was seen to hold it still, it
    /// was ended.
    #[error(
        "the work under named lock `{name}` replaced its connection: {expected} held the lock, {found} came back; {}; \
         never swap or replace the connection inside the work",
        stray(*.expected, *.ended, .source.is_some())
    )]
    #[non_exhaustive]
    ConnectionSwapped {
        /// The lock; of several, the first that was to be released.
        name: LockName,
        /// The connection id of the session that held the lock.
        expected: ConnectionId,
        /// The connection id of the session that came back.
        found: ConnectionId,
        /// Whether the session that held the lock was ended, and the lock then seen to be free of it. If not, and there
        /// is no `source`, it was not seen to hold the lock: it had lost it, an outer section has yet to release it, or
        /// the connection that came back talks to another server.
        ended: bool,
        /// Why the session that held the lock could not be ended: it still holds the lock.
        source: Option<Diesel>,
    },

    /// The connection can't be used: Diesel's transaction manager is in error, or the server is gone. The work has not
    /// run. Drop the connection (a pool closes it at check-in) and take another. A session that was ended while it waited
    /// may be granted the lock for a moment more: the server takes milliseconds to notice.
    #[error(
        "no section on named lock `{name}`: the server is gone, or Diesel calls the connection broken; \
         drop it and take another one"
    )]
    #[non_exhaustive]
    Broken {
        /// The lock.
        name: LockName,
        /// What Diesel says.
        source: Diesel,
    },

    /// The server refused to lock, for a reason that it names. The work has not run; nothing is held.
    #[error("the server refused named lock `{name}`: {source}")]
    #[non_exhaustive]
    Refused {
        /// The lock.
        name: LockName,
        /// The server's answer.
        source: Diesel,
    },

    /// An error of the work's own, not of the lock; of `BEGIN` or `COMMIT`, in a section with a transaction.
    #[error(transparent)]
    Database(Diesel),
}

impl NamedLockError {
    /// Whether the lock was not free in time.
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

    /// Whether the closure has run: the first question of a caller that thinks of a retry.
    ///
    /// `true` for [`Lost`](Self::Lost), [`ConnectionSwapped`](Self::ConnectionSwapped) and
    /// [`TransactionLeftOpen`](Self::TransactionLeftOpen). Also for [`Database`](Self::Database), which is the closure's own, or
    /// that of `BEGIN` or `COMMIT` around it.
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

    /// Whether the work has not run and the same call may well succeed later: [`Timeout`](Self::Timeout),
    /// [`Interrupted`](Self::Interrupted), on another connection [`Broken`](Self::Broken), and, once the outer section
    /// has let go of its lock, [`Deadlock`](Self::Deadlock). So retry the outermost section, on a new checkout, after a
    /// pause.
    ///
    /// Never for [`Lost`](Self::Lost): the work has run, and only its author knows whether it may run twice. Never
    /// for [`Database`](Self::Database): ask Diesel's error itself.
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

/// For `?` in the work. An error of ours that travelled inside Diesel's comes out as it was.
impl From<diesel::result::Error> for NamedLockError {
    fn from(error: diesel::result::Error) -> Self {
        match error {
            Diesel::QueryBuilderError(inner) => match inner.downcast() {
                Ok(ours) => *ours,
                Err(inner) => Self::Database(Diesel::QueryBuilderError(inner)),
            },
            error => Self::Database(error),
        }
    }
}

/// For code whose error is Diesel's own. [`NamedLockError::Database`] becomes the error that it holds; every other
/// variant travels in [`QueryBuilderError`](diesel::result::Error::QueryBuilderError), from which it can be recovered, also by `?` into a [`NamedLockError`]:
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

/// A [`LockName`] is valid already: this lets it stand where a name to be checked may stand.
impl From<Infallible> for NamedLockError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}
