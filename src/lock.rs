//! A lock, described once and used many times.

use std::time::Duration;

use crate::{
    deadline::Timeout, error::NamedLockError, idle_limit::IdleLimit, name::LockName, names::Names, section::Request,
};

/// A named lock, or several, with how to wait for them: described once, used by any thread on any connection.
///
/// Cheap to clone. It holds nothing by itself: the lock is taken by [`run`](Self::run) and its siblings, for the time of
/// one section.
///
/// ```no_run
/// use std::time::Duration;
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
    pub(crate) timeout: Timeout,
    pub(crate) reentrant: bool,
    pub(crate) idle_limit: Option<Duration>,
}

impl NamedLock {
    /// How long a section waits for its lock where nothing else was said: 10 seconds.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

    /// A lock of this name. `name` is a `&str`, `String`, [`LockName`] or `&LockName`.
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
    /// [`NamedLockError::InvalidName`]; never for a [`LockName`].
    pub fn new(name: impl TryInto<LockName, Error: Into<NamedLockError>>) -> Result<Self, NamedLockError> {
        Ok(Self::of(Names::One(name.try_into().map_err(Into::into)?)))
    }

    /// Creates a lock whose name is checked when it is compiled: for a `static`. Also its options can stand there.
    ///
    /// ```
    /// use std::time::Duration;
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

    /// Several locks at once, all of them or none.
    ///
    /// They are taken one by one, in one global order, so that no two such sections can wait for each other in a circle;
    /// the timeout is one for all of them. If one can't be taken, those taken before are released. At the end they are
    /// released in reverse. A name given twice counts once. Two round trips for each lock.
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
    /// [`NamedLockError::InvalidName`] where a name is not valid, there is none, or two differ only in letter case (one
    /// lock on MySQL, two on MariaDB).
    pub fn all_of(
        names: impl IntoIterator<Item = impl TryInto<LockName, Error: Into<NamedLockError>>>,
    ) -> Result<Self, NamedLockError> {
        let names =
            names.into_iter().map(TryInto::try_into).collect::<Result<Vec<LockName>, _>>().map_err(Into::into)?;
        Names::in_locking_order(names).map(Self::of)
    }

    const fn of(names: Names) -> Self {
        Self { names, timeout: Timeout::After(Self::DEFAULT_TIMEOUT), reentrant: false, idle_limit: None }
    }

    /// Waits for at most `timeout`: on both servers never less, and at most 50 ms longer (as tested from 1 ms to 1.5 s).
    /// Default: [`Self::DEFAULT_TIMEOUT`].
    ///
    /// Zero asks once and does not wait. A part of a millisecond counts as a whole one, and beyond 49 days a part of a
    /// second, too. Longer than 31 years is [for ever](Self::wait_forever).
    ///
    /// MySQL's `max_execution_time` does not shorten it. If that ends a wait of whole seconds, the rest is waited for in a second
    /// statement, behind the sessions that have queued since. MariaDB's `max_statement_time` ends any wait that is longer:
    /// [`NamedLockError::Interrupted`].
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use diesel_named_lock::NamedLock;
    /// let lock = NamedLock::new("shop:stock")?.timeout(Duration::from_millis(300));
    /// # Ok::<_, diesel_named_lock::NamedLockError>(())
    /// ```
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Timeout::After(timeout);
        self
    }

    /// Asks once and does not wait: a lock that another session holds is a [`NamedLockError::Timeout`] at once.
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

    /// Waits until the lock is free. Ends only by a grant, a deadlock, `KILL`, a lost connection, or a statement time limit
    /// of the session ([`NamedLockError::Interrupted`]): MariaDB's `max_statement_time`, or, on MySQL, after 49 days, if
    /// `max_execution_time` is set.
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

    /// Allows the section inside another one over the same lock, on the same connection: without it,
    /// [`NamedLockError::AlreadyHeld`].
    ///
    /// The inner section then runs under the outer one's lock: it neither waits nor releases, and at its end makes sure
    /// that the lock is still held. The same goes for a lock that was taken on this session by a `GET_LOCK` by hand: it
    /// stays held. One round trip more, to ask beforehand.
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

    /// Sets how long the server waits for this client during the section, before it gives the session and its locks up. Not set
    /// by default.
    ///
    /// It bounds how long a host that vanished keeps its locks: see [`IdleLimit`], also for **what it asks of work that computes
    /// for long**. The session's timeouts are shortened before the acquire and restored after the release. If they can't be
    /// restored, the session is killed.
    ///
    /// From 1 second to 365 days, in whole seconds: a part of one is left off. Anything else is an error when the section is run,
    /// before any I/O: [`NamedLockError::InvalidIdleLimit`].
    ///
    /// Three round trips more. In a [`NamedLockPool`](crate::pool::NamedLockPool), such a section is not handed a lock and hands
    /// none on.
    ///
    /// ```no_run
    /// # use std::time::Duration;
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

    /// The names, each once, in the order in which they are taken.
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

    /// The timeout begins with it.
    pub(crate) fn request(&self) -> Result<Request, NamedLockError> {
        let Self { timeout, reentrant, .. } = *self;
        let idle_limit = self.idle_limit.map(IdleLimit::new).transpose()?;
        Ok(Request { deadline: timeout.start(), first_wait: timeout, reentrant, idle_limit })
    }
}
