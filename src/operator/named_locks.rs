//! Which sessions hold named locks, and which wait for them.

use std::{fmt, time::Duration};

#[cfg(feature = "blocking")]
use diesel::result::QueryResult;

#[cfg(feature = "blocking")]
use super::protocol;
#[cfg(feature = "blocking")]
use crate::{
    driver::{
        blocking::{Blocking, ready},
        status::NamedLockConnection,
    },
    lock::NamedLock,
    name::LockName,
    operator_error::OperatorError,
    section::ask::{describe_holder, who_holds},
};
use crate::{holder::SessionInfo, name::folded};

/// The named locks of a server, returned by [`named_locks`]. Its text has a line for each session.
///
/// Permits and shared locks are several of the server's locks: [`grouped`](Self::grouped) puts them together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct NamedLocks {
    /// The locks that are held or waited for, by name: each as the server has it.
    pub locks: Vec<LockState>,
    /// Sessions that wait for a named lock, if the server does not say for which one: MariaDB without the Performance Schema. The
    /// session that has waited longest comes first.
    pub unassigned_waiters: Vec<SessionInfo>,
}

/// One named lock, its holder and its waiters.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LockState {
    /// The name as the server lists it. MySQL lists it in lower case, MariaDB cuts it after 64 characters.
    pub name: String,
    /// The session that holds it. `None` in the moment between two holders.
    pub holder: Option<SessionInfo>,
    /// For how long it has been held. `None` if the server does not say. MySQL and MariaDB's Performance Schema never say it. MariaDB's
    /// plugin says it in newer versions (seen in 10.11.19).
    pub held_for: Option<Duration>,
    /// The sessions that wait for it, in the order in which they came.
    pub waiters: Vec<SessionInfo>,
}

/// Returns all named locks of the server that `conn` is connected to, with holders and waiters.
///
/// The list comes from `performance_schema.metadata_locks` (MySQL manual, "The metadata_locks Table"). On MariaDB, that table is switched
/// off by default; then the list comes from `information_schema.METADATA_LOCK_INFO` of the plugin `metadata_lock_info` (MariaDB manual,
/// "Metadata Lock Info Plugin"). The plugin lists holders only, so the waiters are in [`NamedLocks::unassigned_waiters`].
///
/// Costs three to five statements, which take longer the more metadata locks there are. It is for operators, not for sections.
///
/// # What it does not promise
///
/// * It is no snapshot. A lock that changes hands during the call may be shown without a holder, or its new holder may be shown as a
///   waiter.
/// * The Performance Schema does not list a lock that was acquired while the instrument `wait/lock/metadata/sql/mdl` was off, for as long
///   as that lock is held.
/// * Waiters are in the order in which their statements began. For sections, that is the order of the server's queue. It is not for a
///   statement that does something slow before it asks (`SELECT SLEEP(5), GET_LOCK(…)`). If MySQL's consumer
///   `events_statements_current` is off, waiters that came in the same second are in the order of their connection ids.
///
/// ```no_run
/// # use diesel::MysqlConnection;
/// use diesel_named_lock::operator::{OperatorError, named_locks};
///
/// # fn show(conn: &mut MysqlConnection) -> Result<(), OperatorError> {
/// for lock in named_locks(conn)?.in_scope("shop") {
///     if let Some(holder) = &lock.holder {
///         println!("{}: {holder}, and {} wait", lock.name, lock.waiters.len());
///     }
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// Returns [`OperatorError::ListUnavailable`] if the server does not list its locks, and [`OperatorError::Denied`] if this account may not
/// see all of them. It never returns an empty list instead. On MySQL, the account needs `SELECT` on `performance_schema`. On MariaDB, it
/// needs `PROCESS`, and for the Performance Schema that `SELECT`, too.
#[cfg(feature = "blocking")]
pub fn named_locks<C: NamedLockConnection>(conn: &mut C) -> Result<NamedLocks, OperatorError> {
    ready(protocol::named_locks::<Blocking, C>(conn))
}

impl fmt::Display for NamedLocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.grouped().fmt(f)
    }
}

impl fmt::Display for LockState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: ", self.name)?;
        match &self.holder {
            Some(holder) => write!(f, "held by {holder}")?,
            None => write!(f, "between two holders")?,
        }
        if let Some(time) = self.held_for {
            write!(f, ", for {}s", time.as_secs())?;
        }
        self.waiters.iter().try_for_each(|waiter| write!(f, "\n  awaited by {waiter}"))
    }
}

impl NamedLocks {
    /// Returns the locks whose names begin with `prefix`, ignoring letter case.
    ///
    /// ```no_run
    /// # use diesel::MysqlConnection;
    /// # use diesel_named_lock::operator::{OperatorError, named_locks};
    /// # fn show(conn: &mut MysqlConnection) -> Result<(), OperatorError> {
    /// let imports = named_locks(conn)?.with_prefix("shop:import-").count();
    /// # Ok(())
    /// # }
    /// ```
    pub fn with_prefix(&self, prefix: &str) -> impl Iterator<Item = &LockState> + use<'_> {
        let prefix = folded(prefix);
        self.locks.iter().filter(move |lock| folded(&lock.name).starts_with(&prefix))
    }

    /// Returns the locks of a scope, which [`LockName::scoped`] names `scope:…`, ignoring letter case.
    ///
    /// ```no_run
    /// # use diesel::MysqlConnection;
    /// # use diesel_named_lock::operator::{OperatorError, named_locks};
    /// # fn show(conn: &mut MysqlConnection) -> Result<(), OperatorError> {
    /// let of_the_shop = named_locks(conn)?.in_scope("shop").count();
    /// # Ok(())
    /// # }
    /// ```
    pub fn in_scope(&self, scope: &str) -> impl Iterator<Item = &LockState> + use<'_> {
        self.with_prefix(&format!("{scope}:"))
    }
}

/// Questions about one lock, which need no privilege.
#[cfg(feature = "blocking")]
impl LockName {
    /// Returns whether this lock is free at this moment. One round trip.
    ///
    /// The answer may be outdated when you get it. To acquire the lock if it is free, use
    /// [`try_with_named_lock`](crate::NamedLockExt::try_with_named_lock). The permits, and the shared lock, of this name are other locks: see
    /// [`NamedLock::holders`](crate::NamedLock::holders).
    ///
    /// ```no_run
    /// # use diesel::{MysqlConnection, prelude::*};
    /// # use diesel_named_lock::LockName;
    /// # fn show(conn: &mut MysqlConnection) -> Result<(), Box<dyn std::error::Error>> {
    /// if LockName::new("nightly-report")?.is_free(conn)? {
    ///     println!("the report is not being made");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns Diesel's error if the server does not answer.
    pub fn is_free<C: NamedLockConnection>(&self, conn: &mut C) -> QueryResult<bool> {
        Ok(ready(who_holds::<Blocking, C>(conn, self))?.is_free())
    }

    /// Returns the session that holds this lock at this moment. `None` if the lock is free.
    ///
    /// Costs one round trip for the connection id, and two for the rest of the description. For sessions of other accounts, the server
    /// shows the rest only with the `PROCESS` privilege.
    ///
    /// ```no_run
    /// # use diesel::MysqlConnection;
    /// # use diesel_named_lock::LockName;
    /// # fn show(conn: &mut MysqlConnection) -> Result<(), Box<dyn std::error::Error>> {
    /// if let Some(holder) = LockName::new("nightly-report")?.holder(conn)? {
    ///     println!("being made by {holder}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns Diesel's error if the server does not answer.
    pub fn holder<C: NamedLockConnection>(&self, conn: &mut C) -> QueryResult<Option<SessionInfo>> {
        ready(describe_holder::<Blocking, C>(conn, self))
    }
}

#[cfg(feature = "blocking")]
impl NamedLock {
    /// Returns the sessions that hold this lock at this moment, each once. It is empty if the lock is free.
    ///
    /// Of several locks ([`all_of`](Self::all_of)), these are the holders of each. Of [`Permits`](crate::permits::Permits) or a
    /// [`SharedLock`](crate::permits::SharedLock), they are all sessions that hold permits or share the lock, or the one that holds it exclusively.
    /// A session that is first in line is not among them.
    ///
    /// Costs a round trip for each lock or permit, 65 for a shared lock, and two for the description of each holder. For sessions of other
    /// accounts, the server shows more than the connection id only with the `PROCESS` privilege. It is no snapshot: locks may change hands
    /// during the call.
    ///
    /// ```no_run
    /// # use diesel::MysqlConnection;
    /// # use diesel_named_lock::{NamedLockError, permits::Permits};
    /// # fn show(conn: &mut MysqlConnection) -> Result<(), Box<dyn std::error::Error>> {
    /// let renderers = Permits::new("renderers", 3)?;
    /// println!("{} of {} run", renderers.permit().holders(conn)?.len(), renderers.count());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns Diesel's error if the server does not answer.
    pub fn holders<C: NamedLockConnection>(&self, conn: &mut C) -> QueryResult<Vec<SessionInfo>> {
        ready(protocol::holders::<Blocking, C>(conn, self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(id: u64) -> SessionInfo {
        SessionInfo::new(id.into())
    }

    #[test]
    fn the_text_of_the_list_has_a_line_for_each_session() {
        assert_eq!(NamedLocks::default().to_string(), "no named lock is held");
        let (name, held_for) = ("shop:stock".to_owned(), Some(Duration::from_millis(2_700)));
        let held = LockState { name, holder: Some(session(1)), held_for, waiters: vec![session(2), session(3)] };
        let freed = LockState { name: "shop:import".to_owned(), holder: None, held_for: None, waiters: Vec::new() };
        let seen = NamedLocks { locks: vec![held, freed], unassigned_waiters: vec![session(4)] };
        let expected = [
            "`shop:stock`: held by connection 1, for 2s",
            "  awaited by connection 2",
            "  awaited by connection 3",
            "`shop:import`: between two holders",
            "some named lock: awaited by connection 4",
        ];
        assert_eq!(seen.to_string(), expected.join("\n"));
    }
}
