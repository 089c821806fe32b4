//! Seeing who holds what, and who waits.

use std::time::Duration;

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
    name::LockName,
    operator_error::OperatorError,
    section::ask::{describe_holder, who_holds},
};
use crate::{holder::SessionInfo, name::folded};

/// The named locks of a server, as [`named_locks`] found them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct NamedLocks {
    /// The locks that are held or waited for, by name.
    pub locks: Vec<LockState>,
    /// Sessions that wait for some named lock of which the server does not say which one: on MariaDB without the
    /// Performance Schema. The longest waiting comes first.
    pub unassigned_waiters: Vec<SessionInfo>,
}

/// One named lock, its holder and its waiters.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LockState {
    /// The name, as the server lists it: MySQL in lower case, MariaDB cut after 64 characters.
    pub name: String,
    /// Who holds it; `None` in the moment between two holders.
    pub holder: Option<SessionInfo>,
    /// For how long it has been held. `None` where the server does not tell: MySQL never does, nor MariaDB's Performance
    /// Schema; MariaDB's plugin does, from some version on (measured: 10.11.19).
    pub held_for: Option<Duration>,
    /// Who waits for it, first come first, each described as a holder is.
    pub waiters: Vec<SessionInfo>,
}

/// All the named locks of the server that `conn` talks to, with holders and waiters.
///
/// They come from `performance_schema.metadata_locks` (MySQL manual, "The metadata_locks Table"), and on MariaDB, where that
/// is switched off by default, from `information_schema.METADATA_LOCK_INFO` of the plugin `metadata_lock_info` (MariaDB
/// manual, "Metadata Lock Info Plugin"). That one lists holders only: who waits is then in [`NamedLocks::unassigned_waiters`].
///
/// Three to five statements, which take the server longer the more metadata locks there are: for operators, not for sections.
///
/// # What it does not promise
///
/// * It is no snapshot: a lock that changes hands meanwhile may be shown without a holder, or with two of which one waits.
/// * Locks that were taken while the instrument `wait/lock/metadata/sql/mdl` was off stay unseen by the Performance Schema
///   for as long as they are held.
/// * Waiters are in the order in which their statements began. That is the server's queue for sections, and for every
///   statement that asks at once; not for one that does something slow first (`SELECT SLEEP(5), GET_LOCK(…)`). Where
///   MySQL's consumer `events_statements_current` is off, waiters that came in the same second are in the order of their
///   connections.
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
/// [`OperatorError::ListUnavailable`] or [`OperatorError::Denied`], never an empty list, where the server does not list its locks or
/// this account may not see all of them. On MySQL it needs `SELECT` on `performance_schema`, on MariaDB `PROCESS` (and, for
/// its Performance Schema, that `SELECT`, too).
#[cfg(feature = "blocking")]
pub fn named_locks<C: NamedLockConnection>(conn: &mut C) -> Result<NamedLocks, OperatorError> {
    ready(protocol::named_locks::<Blocking, C>(conn))
}

impl NamedLocks {
    /// The locks whose names begin with `prefix`, in whatever letter case.
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

    /// The locks of a scope, as [`LockName::scoped`] makes their names: `scope:…`, in whatever letter case.
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

/// Questions about one lock. They need no privilege.
#[cfg(feature = "blocking")]
impl LockName {
    /// Whether nobody holds this lock, at this moment: it may be held by the time that you look at the answer. To take it
    /// if it is free, use [`try_with_named_lock`](crate::NamedLockExt::try_with_named_lock).
    ///
    /// One round trip.
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
    /// Diesel's, where the server does not answer.
    pub fn is_free<C: NamedLockConnection>(&self, conn: &mut C) -> QueryResult<bool> {
        Ok(ready(who_holds::<Blocking, C>(conn, self))?.is_free())
    }

    /// Who holds this lock, at this moment; `None` where it is free.
    ///
    /// A round trip for the connection id, and two for the rest, which the server shows of other accounts' sessions only with
    /// the `PROCESS` privilege.
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
    /// Diesel's, where the server does not answer.
    pub fn holder<C: NamedLockConnection>(&self, conn: &mut C) -> QueryResult<Option<SessionInfo>> {
        ready(describe_holder::<Blocking, C>(conn, self))
    }
}
