//! How a section that ran has ended.

use std::time::Duration;

use crate::error::NamedLockError;

/// A section that ran: what the work returned, and whether it was alone to the end.
///
/// Got from [`NamedLock::section`](crate::NamedLock::section), whose example shows its use.
#[derive(Debug)]
#[non_exhaustive]
#[must_use = "a section whose `lost` is `Some` was not what it promised to be"]
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
    pub lost: Option<NamedLockError>,
}

impl<T, E> Section<Result<T, E>> {
    /// The work's own error wins; that of the lock was logged.
    pub(crate) fn into_result_or(self, explain: impl FnOnce(NamedLockError) -> E) -> Result<T, E> {
        match (self.value, self.lost) {
            (Ok(_), Some(lost)) => Err(explain(lost)),
            (value, _) => value,
        }
    }
}
