//! The error of a campaign.

use std::error::Error;

use crate::error::NamedLockError;
#[cfg(feature = "fence")]
use crate::fence::FenceError;

/// The error of a campaign: the last one before its time was up, or one that does not go away by itself. Nothing is held.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CampaignError {
    /// The lock was not acquired. If it is a [`Timeout`](NamedLockError::Timeout), another candidate leads: its `holder`.
    #[error(transparent)]
    Lock(#[from] NamedLockError),

    /// There was no connection.
    #[error("no connection for a campaign: {0}")]
    NoConnection(Box<dyn Error + Send + Sync>),

    /// The lock was acquired, but no term could be issued.
    #[cfg(feature = "fence")]
    #[error(transparent)]
    NoTerm(FenceError),
}

impl CampaignError {
    /// Whether the same attempt may succeed later.
    pub(crate) fn is_transient(&self) -> bool {
        !matches!(self, Self::Lock(error) if !error.is_transient())
    }

    /// Returns whether another candidate led for the whole campaign.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Lock(error) if error.is_timeout())
    }
}
