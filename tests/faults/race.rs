//! Two things that are to happen at the same instant.

use std::{
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

/// Each round starts them a little nearer to a dead heat.
pub struct Race {
    start: Barrier,
    /// How long after the start the one whose time we choose comes.
    delay: Duration,
}

impl Race {
    const STEP: Duration = Duration::from_micros(20);

    pub fn after(delay: Duration) -> Self {
        Self { start: Barrier::new(2), delay }
    }

    /// On one thread…
    pub fn start(&self) {
        self.start.wait();
    }

    /// …and at the same time on another.
    pub fn start_later(&self) {
        self.start.wait();
        let start = Instant::now();
        // A sleep is never exact.
        thread::sleep(self.delay.saturating_sub(Duration::from_millis(1)));
        while start.elapsed() < self.delay {
            std::hint::spin_loop();
        }
    }

    pub fn was_too_late(&mut self) {
        self.delay = self.delay.saturating_sub(Self::STEP);
    }

    pub fn was_too_early(&mut self) {
        self.delay += Self::STEP;
    }
}
