//! The outcome of a section that ran.

use std::time::Duration;

use crate::error::NamedLockError;

/// The outcome of a section that ran: the value of the closure, and whether the section was exclusive to the end.
///
/// Returned by [`NamedLock::section`](crate::NamedLock::section), whose example shows its use.
#[derive(Debug)]
#[non_exhaustive]
#[must_use = "a section whose `error` is `Some` was not what it promised to be"]
pub struct Section<T> {
    /// The value that the closure returned, even if the lock was lost.
    pub value: T,
    /// The time from the call to the grant of the (last) lock.
    pub waited: Duration,
    /// The time from the grant to the confirmed release.
    pub held: Duration,
    /// `None` if the server confirmed at the end that the session still held the lock, and released it. Otherwise, the error
    /// says what was lost: the lock ([`Lost`](NamedLockError::Lost), [`ConnectionSwapped`](NamedLockError::ConnectionSwapped)) or a
    /// transaction ([`TransactionLeftOpen`](NamedLockError::TransactionLeftOpen), with the lock held to the end).
    pub error: Option<NamedLockError>,
}

impl<T, E> Section<Result<T, E>> {
    /// Returns what [`NamedLock::run`](crate::NamedLock::run) would return: the error of the closure, or else the error of the lock, or else the
    /// value. If there are both errors, the error of the lock was logged.
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

/// Returns what the closure returned, or `None` if the lock was not free, for a section that does not wait.
pub(crate) fn if_free<T, E>(section: Result<Section<Result<T, E>>, NamedLockError>) -> Result<Option<T>, E>
where
    E: From<NamedLockError>,
{
    match section {
        Ok(section) => section.into_result().map(Some),
        Err(NamedLockError::Timeout { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
