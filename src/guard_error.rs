//! The error of a guard that could not be acquired or released.

use std::{error::Error, fmt};

use crate::error::NamedLockError;

/// The error of a lock that could not be acquired or released, with the connection.
///
/// If it is dropped, so is the connection. `?` turns it into a [`NamedLockError`] or a `Box<dyn Error>`. For any other error
/// type, use `.map_err(NamedLockError::from)?`.
pub struct GuardError<C> {
    /// The connection. It is sound, or marked broken so that a pool closes it.
    pub conn: C,
    /// What went wrong.
    pub error: NamedLockError,
}

impl<C> From<GuardError<C>> for NamedLockError {
    fn from(failed: GuardError<C>) -> Self {
        failed.error
    }
}

impl<C> fmt::Debug for GuardError<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardError").field("error", &self.error).finish_non_exhaustive()
    }
}

impl<C> fmt::Display for GuardError<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<C> Error for GuardError<C> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.source()
    }
}
