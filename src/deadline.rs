//! A timeout, and the deadline that starts with it.

use std::time::{Duration, Instant};

/// How long an acquire may wait. Zero asks once and does not wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Timeout {
    After(Duration),
    Never,
}

impl Timeout {
    /// Starts the timeout now.
    pub(crate) fn start(self) -> Deadline {
        Deadline { start: Instant::now(), timeout: self }
    }
}

/// A timeout that has started. It covers everything that the caller waits for: a queue, a connection, every lock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    start: Instant,
    timeout: Timeout,
}

impl Deadline {
    pub(crate) fn elapsed(self) -> Duration {
        self.start.elapsed()
    }

    pub(crate) fn remaining(self) -> Timeout {
        match self.timeout {
            Timeout::After(timeout) => Timeout::After(timeout.saturating_sub(self.start.elapsed())),
            Timeout::Never => Timeout::Never,
        }
    }

    /// Returns `limit`, or the remaining time if that is less.
    pub(crate) fn at_most(self, limit: Duration) -> Duration {
        match self.remaining() {
            Timeout::After(remaining) => remaining.min(limit),
            Timeout::Never => limit,
        }
    }

    /// `None` means never.
    pub(crate) fn instant(self) -> Option<Instant> {
        match self.timeout {
            Timeout::After(timeout) => self.start.checked_add(timeout),
            Timeout::Never => None,
        }
    }

    /// Whether the caller waits for a lock that is not free.
    pub(crate) fn waits(self) -> bool {
        self.timeout != Timeout::After(Duration::ZERO)
    }

    pub(crate) fn has_passed(self) -> bool {
        self.remaining() == Timeout::After(Duration::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun_two_seconds_ago(timeout: Timeout) -> Deadline {
        Deadline { start: Instant::now() - Duration::from_secs(2), timeout }
    }

    #[test]
    fn what_remains_never_falls_below_zero() {
        let late = begun_two_seconds_ago(Timeout::After(Duration::from_secs(1)));
        assert_eq!(late.remaining(), Timeout::After(Duration::ZERO));
        assert!(late.has_passed());
        let endless = begun_two_seconds_ago(Timeout::Never);
        assert_eq!(endless.remaining(), Timeout::Never);
        assert!(!endless.has_passed());
    }

    #[test]
    fn a_limit_is_cut_by_what_remains() {
        let deadline = begun_two_seconds_ago(Timeout::After(Duration::from_secs(5)));
        assert_eq!(deadline.at_most(Duration::from_secs(1)), Duration::from_secs(1));
        assert!(deadline.at_most(Duration::from_secs(60)) <= Duration::from_secs(3));
        assert_eq!(begun_two_seconds_ago(Timeout::Never).at_most(Duration::from_secs(60)), Duration::from_secs(60));
    }

    #[test]
    fn a_timeout_beyond_all_clocks_is_no_error() {
        assert_eq!(Timeout::After(Duration::MAX).start().instant(), None);
    }
}
