//! The description of a lock, with its options.

use std::{sync::Arc, time::Duration};

use crate::{
    deadline::Timeout, error::NamedLockError, idle_limit::IdleLimit, name::LockName, names::Names, section::Request,
    slots::Slots,
};

/// A description of a named lock, or of several, with options. Any thread can use it on any connection.
///
/// Cheap to clone. It holds nothing by itself: [`run`](Self::run) and its siblings acquire the lock for one section.
///
/// ```no_run
/// use std::{sync::Arc, time::Duration};
///
/// use diesel::{MysqlConnection, prelude::*};
/// use diesel_named_lock::{NamedLock, NamedLockError};
///
/// static STOCK: NamedLock = NamedLock::from_static("shop:stock").timeout(Duration::from_secs(5));
///
/// fn restock(conn: &mut MysqlConnection) -> Result<(), NamedLockError> {
///     STOCK.run(conn, |conn| {
///         diesel::sql_query("UPDATE stock SET amount = amount + 1").execute(conn)?;
///         Ok(())
///     })
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[must_use = "a `NamedLock` locks nothing until it is run"]
pub struct NamedLock {
    names: Names,
    /// What the name is about, if it is no lock but a family of slots.
    slots: Option<Arc<Slots>>,
    pub(crate) timeout: Timeout,
    pub(crate) reentrant: bool,
    pub(crate) idle_limit: Option<Duration>,
}

impl NamedLock {
    /// The default [`timeout`](Self::timeout): 10 seconds.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

    /// Creates a lock with this name. `name` is a `&str`, `String`, [`LockName`] or `&LockName`.
    ///
    /// ```
    /// use diesel_named_lock::{LockName, NamedLock};
    ///
    /// let by_text = NamedLock::new("shop:stock")?;
    /// let by_name = NamedLock::new(LockName::scoped("shop", "stock")?)?;
    /// assert_eq!(by_text, by_name);
    /// # Ok::<_, diesel_named_lock::NamedLockError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`NamedLockError::InvalidName`] if the name is not valid. Never fails for a [`LockName`].
    pub fn new(name: impl TryInto<LockName, Error: Into<NamedLockError>>) -> Result<Self, NamedLockError> {
        Ok(Self::of(Names::One(name.try_into().map_err(Into::into)?)))
    }

    /// Creates a lock for a `static`, with a name that is checked at compile time. Options can be set in the `static`, too.
    ///
    /// ```
    /// use std::{sync::Arc, time::Duration};
    ///
    /// use diesel_named_lock::NamedLock;
    ///
    /// static STOCK: NamedLock = NamedLock::from_static("shop:stock").timeout(Duration::from_secs(5));
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if the name is not valid, as [`LockName::from_static`] does.
    pub const fn from_static(name: &'static str) -> Self {
        Self::of(Names::One(LockName::from_static(name)))
    }

    /// Creates a lock over several names: a section holds all of them or none.
    ///
    /// They are acquired in one global order, so that no two such sections can wait for each other in a circle. One timeout covers all
    /// of them. If one can't be acquired, those acquired before are released. At the end they are released in reverse. A name given twice
    /// counts once.
    ///
    /// Costs two round trips for every ten locks, or for the rest of them: one statement acquires up to ten free locks, and one
    /// releases them. A lock that is not free is waited for by a statement of its own, and then the next ten follow.
    ///
    /// ```no_run
    /// # use diesel::{MysqlConnection, prelude::*};
    /// # use diesel_named_lock::{NamedLock, NamedLockError};
    /// # fn transfer(conn: &mut MysqlConnection) -> Result<(), NamedLockError> {
    /// NamedLock::all_of(["account:7", "account:4"])?.run_transaction(conn, |conn| {
    ///     diesel::sql_query("UPDATE account SET cents = cents - 100 WHERE id = 7").execute(conn)?;
    ///     diesel::sql_query("UPDATE account SET cents = cents + 100 WHERE id = 4").execute(conn)?;
    ///     Ok(())
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`NamedLockError::InvalidName`] if a name is not valid, if there is no name, or if two names differ only in letter case
    /// (one lock on MySQL, two on MariaDB).
    pub fn all_of(
        names: impl IntoIterator<Item = impl TryInto<LockName, Error: Into<NamedLockError>>>,
    ) -> Result<Self, NamedLockError> {
        let names =
            names.into_iter().map(TryInto::try_into).collect::<Result<Vec<LockName>, _>>().map_err(Into::into)?;
        Names::in_locking_order(names).map(Self::of)
    }

    const fn of(names: Names) -> Self {
        let timeout = Timeout::After(Self::DEFAULT_TIMEOUT);
        Self { names, slots: None, timeout, reentrant: false, idle_limit: None }
    }

    pub(crate) fn of_slots(slots: Slots) -> Self {
        let names = Names::One(slots.family.clone());
        Self { slots: Some(slots.into()), ..Self::of(names) }
    }

    /// Sets how long a section waits for the lock: on both servers never less, and at most 50 ms longer (tested from 1 ms to 1.5 s).
    ///
    /// Defaults to [`DEFAULT_TIMEOUT`](Self::DEFAULT_TIMEOUT).
    ///
    /// Zero asks once and does not wait. The server waits for what is left after the first round trip, rounded up to a whole millisecond; above 49 days, a fraction of a
    /// second is rounded up, too. More than 31 years means [for ever](Self::wait_forever).
    ///
    /// MySQL's `max_execution_time` does not shorten it. If it interrupts a wait of whole seconds, a second statement waits for the
    /// rest, behind the sessions that have queued since. MariaDB's `max_statement_time` interrupts any longer wait, as
    /// [`NamedLockError::Interrupted`].
    ///
    /// ```
    /// # use std::{sync::Arc, time::Duration};
    /// # use diesel_named_lock::NamedLock;
    /// let lock = NamedLock::new("shop:stock")?.timeout(Duration::from_millis(300));
    /// # Ok::<_, diesel_named_lock::NamedLockError>(())
    /// ```
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Timeout::After(timeout);
        self
    }

    /// Asks once and does not wait. If another session holds the lock, the section fails at once with
    /// [`NamedLockError::Timeout`].
    ///
    /// ```no_run
    /// # use diesel::MysqlConnection;
    /// # use diesel_named_lock::{NamedLock, NamedLockError};
    /// # fn clean_up(_: &mut MysqlConnection) -> Result<(), NamedLockError> { Ok(()) }
    /// # fn run(conn: &mut MysqlConnection) -> Result<(), NamedLockError> {
    /// match NamedLock::new("clean-up")?.no_wait().run(conn, clean_up) {
    ///     Err(NamedLockError::Timeout { holder: Some(holder), .. }) => println!("already being done by {holder}"),
    ///     outcome => outcome?,
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub const fn no_wait(self) -> Self {
        self.timeout(Duration::ZERO)
    }

    /// Waits until the lock is free.
    ///
    /// The wait ends only with a grant, a deadlock, a `KILL`, a lost connection, or a statement time limit of the session
    /// ([`NamedLockError::Interrupted`]). That limit is MariaDB's `max_statement_time`; on MySQL, after 49 days, it is
    /// `max_execution_time`, if set.
    ///
    /// ```
    /// # use diesel_named_lock::NamedLock;
    /// let lock = NamedLock::new("shop:stock")?.wait_forever();
    /// # Ok::<_, diesel_named_lock::NamedLockError>(())
    /// ```
    pub const fn wait_forever(mut self) -> Self {
        self.timeout = Timeout::Never;
        self
    }

    /// Allows the section inside another section over the same lock, on the same connection. Without it, that is
    /// [`NamedLockError::AlreadyHeld`].
    ///
    /// The inner section runs under the outer section's lock. It neither waits nor releases, and at its end it checks that the lock is
    /// still held. A lock that a `GET_LOCK` by hand acquired on this session is treated in the same way: it stays held.
    ///
    /// Costs one round trip more. Several locks are acquired one by one, each after such a question.
    ///
    /// ```no_run
    /// # use diesel::MysqlConnection;
    /// # use diesel_named_lock::{NamedLock, NamedLockError};
    /// // Alone, or as a part of a larger section over the same lock.
    /// fn restock(conn: &mut MysqlConnection) -> Result<(), NamedLockError> {
    ///     NamedLock::new("shop:stock")?.reentrant().run(conn, |conn| {
    ///         // …
    ///         Ok(())
    ///     })
    /// }
    /// ```
    pub const fn reentrant(mut self) -> Self {
        self.reentrant = true;
        self
    }

    /// Sets how long the server waits for this client during the section before it gives up the session and its locks.
    ///
    /// Defaults to no limit: the session's own timeouts apply.
    ///
    /// It bounds how long a host that vanished keeps its locks. See [`IdleLimit`], also for **what it requires of a closure that
    /// computes for long**. The session's timeouts are shortened before the acquire and restored after the release. If they can't be
    /// restored, the session is killed.
    ///
    /// From 1 second to 365 days, in whole seconds; a fraction is cut off. For any other value, running the section fails with
    /// [`NamedLockError::InvalidIdleLimit`], before any I/O.
    ///
    /// Costs three round trips more. In a [`NamedLockPool`](crate::pool::NamedLockPool), such a section takes part in no hand-off.
    ///
    /// ```no_run
    /// # use std::{sync::Arc, time::Duration};
    /// # use diesel::{MysqlConnection, prelude::*};
    /// # use diesel_named_lock::{NamedLock, NamedLockExt};
    /// # fn render_all() -> String { String::new() }
    /// # fn run(conn: &mut MysqlConnection) -> Result<(), Box<dyn std::error::Error>> {
    /// let limit = Duration::from_secs(60);
    /// NamedLock::new("site")?.idle_limit(limit).run(conn, |conn| {
    ///     let site = conn.keep_alive_while(limit / 3, |_| render_all());
    ///     // …
    ///     Ok(())
    /// })
    /// # }
    /// ```
    pub const fn idle_limit(mut self, limit: Duration) -> Self {
        self.idle_limit = Some(limit);
        self
    }

    /// Returns the names, each once, in the order in which they are acquired.
    ///
    /// ```
    /// # use diesel_named_lock::{LockName, NamedLock};
    /// let lock = NamedLock::all_of(["b", "a", "b"])?;
    /// assert_eq!(lock.names(), [LockName::new("a")?, LockName::new("b")?]);
    /// # Ok::<_, diesel_named_lock::NamedLockError>(())
    /// ```
    #[must_use]
    pub fn names(&self) -> &[LockName] {
        self.names.as_slice()
    }

    pub(crate) fn locks(&self) -> &Names {
        &self.names
    }

    pub(crate) fn slots(&self) -> Option<&Slots> {
        self.slots.as_deref()
    }

    /// Starts the timeout.
    pub(crate) fn request(&self) -> Result<Request, NamedLockError> {
        let Self { timeout, reentrant, .. } = *self;
        let idle_limit = self.idle_limit.map(IdleLimit::new).transpose()?;
        let slots = self.slots.clone();
        Ok(Request { deadline: timeout.start(), first_wait: timeout, reentrant, idle_limit, slots })
    }
}
