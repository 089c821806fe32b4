//! Candidates.

use std::time::{Duration, Instant};

use diesel::{Connection, ConnectionError, MysqlConnection};
use diesel_named_lock::leadership::{LeaderElection, Leadership};

use testkit::world::*;

pub type Candidate = LeaderElection<MysqlConnection>;
pub type Leader = Leadership<MysqlConnection>;

/// Pings come once a second: on a busy machine, one may be late.
pub const LIMIT: Duration = Duration::from_secs(3);

pub fn candidate(name: &str) -> Candidate {
    candidate_at(server().url(), name)
}

pub fn candidate_at(url: &str, name: &str) -> Candidate {
    let url = url.to_owned();
    with_connections(name, move || MysqlConnection::establish(&url))
}

pub fn with_connections(
    name: &str,
    connect: impl Fn() -> Result<MysqlConnection, ConnectionError> + Send + Sync + 'static,
) -> Candidate {
    LeaderElection::new(name, connect).expect("a valid name").idle_limit(LIMIT)
}

pub fn elected(name: &str) -> Leader {
    candidate(name).campaign(SOON).expect("nobody else leads")
}

/// A candidate that tells the session of each attempt.
pub fn telling(url: &str, name: &str, tell: impl Fn(u64) + Send + Sync + 'static) -> Candidate {
    let url = url.to_owned();
    with_connections(name, move || {
        let mut conn = MysqlConnection::establish(&url)?;
        tell(id(&mut conn));
        Ok(conn)
    })
}

/// Far less than any pause between two attempts.
#[track_caller]
pub fn assert_soon_after(start: Instant) {
    assert!(start.elapsed() < SOON / 2, "{:?}", start.elapsed());
}
