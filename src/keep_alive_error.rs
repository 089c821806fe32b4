//! The error of a guard that can't be kept alive.

use std::time::Duration;

/// The error of a guard that can't be kept alive, with the guard.
///
/// If it is dropped, so is the guard, which releases the lock. `?` turns it into a `Box<dyn Error>`. For an error type that must be `Send` and
/// `Sync`, such as `anyhow::Error`, write `.map_err(|failed| anyhow!("{failed}"))?`: the guard's connection is not `Sync`.
#[derive(Debug, thiserror::Error)]
pub enum KeepAliveError<G> {
    /// The interval is zero, or so long that the server would kill the session for being idle.
    #[error("invalid interval {interval:?}: must be greater than zero{}", below(*.longest))]
    #[non_exhaustive]
    InvalidInterval {
        /// The guard, as it was.
        guard: Box<G>,
        /// The interval that was refused.
        interval: Duration,
        /// The session's `wait_timeout`, which the interval must be below. `None` if the server was not asked.
        longest: Option<Duration>,
    },
    /// The question for the session's `wait_timeout` failed. The lock is probably lost.
    #[error("`wait_timeout` of the session can't be read: {source}")]
    #[non_exhaustive]
    Database {
        /// The guard.
        guard: Box<G>,
        /// Diesel's error.
        r#source: diesel::result::Error,
    },
}

fn below(longest: Option<Duration>) -> String {
    longest.map_or_else(String::new, |longest| format!(" and less than {longest:?}, the session's `wait_timeout`"))
}

impl<G> KeepAliveError<G> {
    /// Returns the guard. Its lock is still held, unless the session is gone.
    #[must_use]
    pub fn into_guard(self) -> G {
        let (Self::InvalidInterval { guard, .. } | Self::Database { guard, .. }) = self;
        *guard
    }
}
