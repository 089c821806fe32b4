//! A node's part in an attempt.

use std::time::{Duration, Instant};

use super::error::NodeState;
use crate::statement::whereabouts::Whereabouts;

/// How long what a node said about itself is taken for true.
const KNOWN_FOR: Duration = Duration::from_secs(1);

/// What an attempt knows of one node.
pub(super) struct Part {
    /// Where it leads, once it is connected.
    pub(super) found: Option<Whereabouts>,
    /// When it was asked for that.
    asked: Instant,
    pub(super) state: NodeState,
}

impl Part {
    pub(super) fn new() -> Self {
        Self { found: None, asked: Instant::now(), state: NodeState::NotAsked }
    }

    pub(super) fn learn(&mut self, found: Option<Whereabouts>) {
        if found.is_some() {
            (self.found, self.asked) = (found, Instant::now());
        }
    }

    pub(super) fn is_known(&self) -> bool {
        self.found.is_some() && self.asked.elapsed() < KNOWN_FOR
    }
}
