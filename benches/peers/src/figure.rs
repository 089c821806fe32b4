//! What the tables are made of.

use serde::Serialize;
use test_server::Server;

use crate::rounds::median;

/// One figure: a row of a table, on one of the servers.
#[derive(Serialize)]
pub struct Figure {
    /// The table's title.
    case: &'static str,
    server: String,
    /// The row's.
    contender: String,
    value: f64,
    unit: &'static str,
    ratio: Option<Ratio>,
    aim: Option<Aim>,
    /// What the value is made up of, if that is known.
    parts: Vec<(&'static str, f64)>,
    /// How many of what makes it hard, for the chart of cost against size.
    size: Option<u32>,
}

#[derive(Serialize)]
struct Ratio {
    value: f64,
    /// Of what to what.
    of: &'static str,
    /// Of a client that is pinned: how far apart the middle half of the rounds is, in parts of the ratio. Rounds that disagree were
    /// disturbed. (Threads that wake each other disagree by themselves.)
    spread: Option<f64>,
}

#[derive(Serialize, Clone, Copy)]
pub enum Aim {
    RatioAtLeast(f64),
    ValueAtMost(f64),
}

impl Figure {
    pub fn new(
        case: &'static str,
        server: &Server,
        contender: impl Into<String>,
        value: f64,
        unit: &'static str,
    ) -> Self {
        // `MariaDB 10.11.19`, without what its packager added.
        let version = server.version().split('-').next().unwrap_or_default();
        let server = format!("{} {version}", server.product());
        let contender = contender.into();
        Self { case, server, contender, value, unit, ratio: None, aim: None, parts: Vec::new(), size: None }
    }

    pub fn ratio(mut self, of: &'static str, value: f64) -> Self {
        self.ratio = Some(Ratio { value, of, spread: None });
        self
    }

    /// The median of the rounds of a client that is pinned.
    pub fn ratio_of_rounds(mut self, of: &'static str, rounds: impl Iterator<Item = f64>) -> Self {
        let mut ratios: Vec<f64> = rounds.collect();
        let value = median(ratios.iter().copied());
        ratios.sort_by(f64::total_cmp);
        let spread = (ratios[ratios.len() * 3 / 4] - ratios[ratios.len() / 4]) / value;
        self.ratio = Some(Ratio { value, of, spread: Some(spread) });
        self
    }

    pub fn aim(mut self, aim: impl Into<Option<Aim>>) -> Self {
        self.aim = aim.into();
        self
    }

    pub fn parts(mut self, parts: impl Into<Vec<(&'static str, f64)>>) -> Self {
        self.parts = parts.into();
        self
    }

    pub fn size(mut self, size: u32) -> Self {
        self.size = Some(size);
        self
    }
}
