//! How a section that ran has ended.

use std::time::Duration;

use crate::error::NamedLockError;

/// A section that ran: what the work returned, and whether it was alone to the end.
///
/// Got from [`NamedLock::section`](crate::NamedLock::section), whose example shows its use.
#[derive(Debug)]
#[non_exhaustive]
#[must_use = "a section whose `error` is `Some` was not what it promised to be"]
pub struct Section<T> {
    /// What the work returned, whatever became of the lock.
    pub value: T,
    /// From the call to the grant of the (last) lock.
    pub waited: Duration,
    /// From the grant to the confirmed release.
    pub held: Duration,
    /// `None` where the server confirmed at the end that the lock was still ours, and released it. Otherwise what was
    /// lost: the lock ([`Lost`](NamedLockError::Lost), [`ConnectionSwapped`](NamedLockError::ConnectionSwapped)) or a
    /// transaction ([`TransactionLeftOpen`](NamedLockError::TransactionLeftOpen), with the lock held to the end).
    pub error: Option<NamedLockError>,
}

impl<T, E> Section<Result<T, E>> {
    /// Returns what [`NamedLock::run`](crate::NamedLock::run) would: the error of the closure, or else that of the lock, or else
    /// the value. If there are both errors, that of the lock was logged.
    ///
    /// ```no_run
    /// # use diesel::MysqlConnection;
    /// # use diesel_named_lock::{NamedLock, NamedLockError};
    /// # fn send_invoices(_: &mut MysqlConnection) -> Result<u32, NamedLockError> { Ok(0) }
    /// # fn run(conn: &mut MysqlConnection) -> Result<(), NamedLockError> {
    /// let section = NamedLock::new("invoices")?.section(conn, send_invoices)?;
    /// println!("held for {:?}", section.held);
    /// let sent = section.into_result()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns the closure's error, or [`error`](Self::error).
    pub fn into_result(self) -> Result<T, E>
    where
        E: From<NamedLockError>,
    {
        match (self.value, self.error) {
            (Ok(_), Some(error)) => Err(error.into()),
            (value, _) => value,
        }
    }
}
