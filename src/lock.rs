//! A lock, described once and used many times.

use std::{slice, time::Duration};

use crate::{
    blocking::abandon::{self, AbandonAfter},
    driver::MysqlSession,
    error::NamedLockError,
    name::{LockName, in_locking_order},
    section::{Keep, Plan, Section, refusal::Busy},
    statement::who_holds,
    timeout::Timeout,
};

/// A named lock, or several, with how to wait for them: described once, used by any thread on any connection.
///
/// Cheap to clone. It holds nothing by itself: the lock is taken by [`run`](Self::run) and its siblings, for the time of
/// one section.
///
/// ```no_run
/// use std::{sync::LazyLock, time::Duration};
///
/// use diesel::{MysqlConnection, prelude::*};
/// use diesel_named_lock::{NamedLock, NamedLockError};
///
/// static STOCK: LazyLock<NamedLock> =
///     LazyLock::new(|| NamedLock::new("shop:stock").expect("a valid name").timeout(Duration::from_secs(5)));
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
    timeout: Timeout,
    reentrant: bool,
    abandon_after: Option<AbandonAfter>,
}

/// In locking order, each once. One alone, the usual case, allocates nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Names {
    One(LockName),
    Several(Vec<LockName>),
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
    pub fn new<N>(name: N) -> Result<Self, NamedLockError>
    where
        N: TryInto<LockName>,
        NamedLockError: From<N::Error>,
    {
        Ok(Self::of(Names::One(name.try_into()?)))
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
    pub fn all_of<N>(names: impl IntoIterator<Item = N>) -> Result<Self, NamedLockError>
    where
        N: TryInto<LockName>,
        NamedLockError: From<N::Error>,
    {
        let names = names.into_iter().map(TryInto::try_into).collect::<Result<Vec<LockName>, _>>()?;
        let mut names = in_locking_order(names)?;
        Ok(Self::of(if names.len() == 1 { Names::One(names.swap_remove(0)) } else { Names::Several(names) }))
    }

    fn of(names: Names) -> Self {
        Self { names, timeout: Timeout::After(Self::DEFAULT_TIMEOUT), reentrant: false, abandon_after: None }
    }

    /// Waits for at most `timeout`: on both servers never less, and at most 50 ms longer (as tested from 1 ms to 1.5 s).
    /// Default: [`Self::DEFAULT_TIMEOUT`].
    ///
    /// Zero asks once and does not wait. A part of a millisecond counts as a whole one, and beyond 49 days a part of a
    /// second, too. Longer than 31 years is [for ever](Self::wait_forever).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use diesel_named_lock::NamedLock;
    /// let lock = NamedLock::new("shop:stock")?.timeout(Duration::from_millis(300));
    /// # Ok::<_, diesel_named_lock::NamedLockError>(())
    /// ```
    pub fn timeout(mut self, timeout: Duration) -> Self {
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
    pub fn no_wait(self) -> Self {
        self.timeout(Duration::ZERO)
    }

    /// Waits until the lock is free. Ends only by a grant, a deadlock, `KILL`, a lost connection, or a statement time limit
    /// of the session ([`NamedLockError::Interrupted`]).
    ///
    /// ```
    /// # use diesel_named_lock::NamedLock;
    /// let lock = NamedLock::new("shop:stock")?.wait_forever();
    /// # Ok::<_, diesel_named_lock::NamedLockError>(())
    /// ```
    pub fn wait_forever(mut self) -> Self {
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
    pub fn reentrant(mut self) -> Self {
        self.reentrant = true;
        self
    }

    /// Bounds how long this host, should it vanish, keeps the lock: for the section, the session's timeouts are shortened,
    /// and restored after it. Where they can't be restored, the session is ended. [`AbandonAfter`] says what that bounds and
    /// what not, and **what it asks of work that computes for long**.
    ///
    /// Three round trips more, two before the acquire and one after the release. In a
    /// [`NamedLockPool`](crate::NamedLockPool), such a section is not handed a lock and hands none on.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # use diesel::{MysqlConnection, prelude::*};
    /// # use diesel_named_lock::{AbandonAfter, NamedLock, NamedLockExt};
    /// # fn render_all() -> String { String::new() }
    /// # fn run(conn: &mut MysqlConnection) -> Result<(), Box<dyn std::error::Error>> {
    /// let bound = Duration::from_secs(60);
    /// NamedLock::new("site")?.abandon_after(AbandonAfter::new(bound)?).run(conn, |conn| {
    ///     let site = conn.keep_alive_while(bound / 3, |_| render_all());
    ///     // …
    ///     Ok(())
    /// })
    /// # }
    /// ```
    pub fn abandon_after(mut self, bound: AbandonAfter) -> Self {
        self.abandon_after = Some(bound);
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
        match &self.names {
            Names::One(name) => slice::from_ref(name),
            Names::Several(names) => names,
        }
    }

    /// Runs `work` while the lock is held, and returns what it returns.
    ///
    /// The lock is taken on `conn`, `work` gets the same `conn`, and before this returns, the lock is released and the
    /// server has confirmed it, whether `work` returned `Ok` or `Err`, panicked, or left a transaction open (which is
    /// rolled back first). Where the server can't confirm it, the session is ended and the connection marked, so
    /// that a pool closes it: that frees the lock soon (within 12 ms in our fault matrix), but after this has returned.
    ///
    /// # What it does not promise
    ///
    /// * The lock dies with the session. Work that goes on for long without touching the connection learns only at the
    ///   end, by [`NamedLockError::Lost`], that it was not alone: let it compute in
    ///   [`keep_alive_while`](crate::NamedLockExt::keep_alive_while).
    /// * Only those who take the same lock on the same server are kept out.
    /// * A transaction begun by raw SQL (`sql_query("BEGIN")`, `SET autocommit = 0`) is unseen by Diesel, and so by this
    ///   crate: commit it before the section ends.
    /// * A lock that the work releases by hand and takes again was not held in between; nothing tells.
    /// * The timeout is the server's to keep, and the release has none. On a network that goes silent, this returns when it
    ///   speaks again, or when the operating system gives the connection up.
    /// * A host that vanishes without closing its connection keeps the lock until the server gives its session up: after
    ///   `wait_timeout`, by default 8 hours; [`abandon_after`](Self::abandon_after) shortens it.
    /// * `process::exit` inside the work runs no clean-up: the lock is free when the process has ended.
    /// * A connection that the work swaps out and forgets (`mem::forget`) keeps the lock, if the one that it put in its
    ///   place is dead or talks to another server.
    ///
    /// ```no_run
    /// # use diesel::{MysqlConnection, prelude::*};
    /// # use diesel_named_lock::{NamedLock, NamedLockError};
    /// # fn reindex(conn: &mut MysqlConnection) -> Result<usize, NamedLockError> {
    /// let rows = NamedLock::new("search-index")?.run(conn, |conn| {
    ///     let rows = diesel::sql_query("UPDATE search_index SET fresh = 1").execute(conn)?;
    ///     Ok::<_, NamedLockError>(rows)
    /// })?;
    /// # Ok(rows)
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// What `work` returns as `Err`; it wins over an error of the lock, which is then logged at `warn`. Otherwise any
    /// [`NamedLockError`], by `E::from`; its documentation says for which the work has run.
    pub fn run<C, T, E, F>(&self, conn: &mut C, work: F) -> Result<T, E>
    where
        C: MysqlSession,
        E: From<NamedLockError>,
        F: FnOnce(&mut C) -> Result<T, E>,
    {
        outcome(self.section(conn, work)?, E::from)
    }

    /// Like [`run`](Self::run), with the work inside a transaction: lock, `BEGIN`, work, `COMMIT`, release.
    ///
    /// The order is the point:
    ///
    /// ```text
    /// BEGIN ─ read ─────────────── lock ─ write ─ COMMIT ─ release    wrong: what was read is older than the lock
    ///            another: ─ COMMIT ─ release
    ///
    /// lock ─ BEGIN ─ read ─ write ─ release ─────────── COMMIT        wrong: the next one gets in too early
    ///                                  another: lock ─ read
    ///
    /// lock ─ BEGIN ─ read ─ write ─ COMMIT ─ release                  right
    ///                                          another: lock ─ read
    /// ```
    ///
    /// ```no_run
    /// # use diesel::{MysqlConnection, prelude::*};
    /// # use diesel_named_lock::{NamedLock, NamedLockError};
    /// # fn sell(conn: &mut MysqlConnection) -> Result<(), NamedLockError> {
    /// NamedLock::new("shop:stock")?.run_transaction(conn, |conn| {
    ///     diesel::sql_query("UPDATE stock SET amount = amount - 1").execute(conn)?;
    ///     diesel::sql_query("INSERT INTO sales VALUES (1)").execute(conn)?;
    ///     Ok(())
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`run`](Self::run), and Diesel's own errors from `BEGIN` and `COMMIT`.
    pub fn run_transaction<C, T, E, F>(&self, conn: &mut C, work: F) -> Result<T, E>
    where
        C: MysqlSession,
        E: From<NamedLockError> + From<diesel::result::Error>,
        F: FnOnce(&mut C) -> Result<T, E>,
    {
        self.run(conn, |conn| conn.transaction(work))
    }

    /// Like [`run`](Self::run), for work that returns anything: its value comes back even when the lock was lost.
    ///
    /// ```no_run
    /// # use diesel::MysqlConnection;
    /// # use diesel_named_lock::{NamedLock, NamedLockError};
    /// # fn print_all_invoices(_: &mut MysqlConnection) -> u32 { 0 }
    /// # fn run(conn: &mut MysqlConnection) -> Result<(), NamedLockError> {
    /// let section = NamedLock::new("invoices")?.section(conn, |conn| print_all_invoices(conn))?;
    /// println!("{} printed, after {:?}", section.value, section.waited);
    /// if let Some(NamedLockError::Lost { .. }) = section.lost {
    ///     eprintln!("look for invoices that were printed twice");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Only where the work has not run. What went wrong later stands in [`Section::lost`].
    pub fn section<C, T, F>(&self, conn: &mut C, work: F) -> Result<Section<T>, NamedLockError>
    where
        C: MysqlSession,
        F: FnOnce(&mut C) -> T,
    {
        let ended = abandon::run(conn, self.abandon_after, self.plan(), work, |_| Keep::No)?;
        ended.map(|ended| ended.section).map_err(|Busy { name, waited }| {
            // Only a courtesy: an error here must not hide the timeout.
            let holder = who_holds::holder(conn, &name).ok().flatten().map(Box::new);
            let (in_queue, in_checkout) = (Duration::ZERO, Duration::ZERO);
            NamedLockError::Timeout { name, waited, in_queue, in_checkout, holder, source: None }
        })
    }

    /// Like [`run`](Self::run), with `None` for a lock that is not free in time.
    pub(crate) fn run_if_free<C, T, E, F>(&self, conn: &mut C, work: F) -> Result<Option<T>, E>
    where
        C: MysqlSession,
        E: From<NamedLockError>,
        F: FnOnce(&mut C) -> Result<T, E>,
    {
        let ended = abandon::run(conn, self.abandon_after, self.plan(), work, |_| Keep::No)?;
        ended.ok().map(|ended| outcome(ended.section, E::from)).transpose()
    }

    pub(crate) fn bound(&self) -> Option<AbandonAfter> {
        self.abandon_after
    }

    pub(crate) fn plan(&self) -> Plan<'_> {
        Plan { names: self.names(), timeout: self.timeout, reentrant: self.reentrant, kept: None }
    }
}

/// The work's own error wins; that of the lock was logged.
pub(crate) fn outcome<T, E>(section: Section<Result<T, E>>, explain: impl FnOnce(NamedLockError) -> E) -> Result<T, E> {
    match (section.value, section.lost) {
        (Ok(_), Some(lost)) => Err(explain(lost)),
        (value, _) => value,
    }
}
