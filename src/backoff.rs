//! The pauses between two attempts.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    time::Duration,
};

const FIRST: Duration = Duration::from_millis(50);

pub(crate) struct Backoff {
    next: Duration,
    longest: Duration,
}

impl Backoff {
    pub(crate) fn new(longest: Duration) -> Self {
        Self { next: FIRST, longest: longest.max(FIRST) }
    }

    /// Returns the next pause. Each is twice as long as the one before, and shortened by up to a half at random, so that not all come
    /// at once when a server is back.
    pub(crate) fn next(&mut self) -> Duration {
        let pause = self.next;
        self.next = (2 * pause).min(self.longest);
        let random = RandomState::new().build_hasher().finish();
        pause / 2 + (pause / 2).mul_f64(random as f64 / u64::MAX as f64)
    }
}
