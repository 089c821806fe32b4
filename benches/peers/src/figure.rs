//! What the tables are made of.

use serde::Serialize;
use test_server::Server;

/// One figure: a row of a table, on one of the servers.
#[derive(Serialize)]
pub struct Figure {
    /// The table's title.
    pub case: &'static str,
    pub server: String,
    /// The row's.
    pub contender: String,
    pub value: f64,
    pub unit: &'static str,
    pub ratio: f64,
    /// Ratio of what to what.
    pub ratio_of: &'static str,
    /// The ratio is to be at least this.
    pub aim: Option<f64>,
    /// What the value is made up of, if that is known.
    pub parts: Vec<(&'static str, f64)>,
}

/// `MariaDB 10.11.19`, without what its packager added.
pub fn name_of(server: &Server) -> String {
    format!("{} {}", server.product(), server.version().split('-').next().unwrap_or_default())
}
