//! Leader election: of all processes that campaign for a lock, one at a time leads.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use diesel::{Connection, MysqlConnection};
//! use diesel_named_lock::leadership::LeaderElection;
//!
//! # fn start_due_jobs() {}
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let election = LeaderElection::new("shop:scheduler", || MysqlConnection::establish("mysql://app@127.0.0.1/shop"))?;
//! loop {
//!     let leadership = election.campaign(Duration::MAX)?;
//!     while !leadership.stepped_down(Duration::from_secs(1)) {
//!         start_due_jobs();
//!     }
//! } // Dropped, and campaigning again.
//! # }
//! ```
//!
//! A leader holds the named lock on a connection of its own, which a thread pings. The server hands the lock to the candidate that
//! has waited longest, within milliseconds, when the leader resigns, ends, or dies.
//!
//! | what happens | the next one leads | the old one knows |
//! |---|---|---|
//! | it resigns, or is dropped | at once | at once |
//! | its process dies (`kill -9`) | at once | – |
//! | its session is killed, or the server restarts | at once | within a third of the [idle limit](LeaderElection::idle_limit) |
//! | its process is stopped (`SIGSTOP`) | after the idle limit | at once, when it runs again |
//! | its network goes silent, its host loses its power | after the idle limit | before that |
//!
//! # What it does not promise
//!
//! * **Between a question and its use, a leader may have been deposed**: work that was paused right after
//!   [`is_leader`](Leadership::is_leader) goes on. In the third row above, `is_leader` itself is late. What must never be written by
//!   two leaders needs [the term](Leadership::term), and a writer that checks it.
//! * **The lock is one server's**: after a failover to another server, the old leader's session is gone with the old server, and a
//!   candidate on the new one leads. Candidates that are connected to different servers all lead.
//! * A machine that is suspended as a whole finds only by the first ping that it was away: on Linux, the clock that
//!   [`Instant`](std::time::Instant) reads stands still meanwhile.

pub(crate) mod backoff;
#[cfg(feature = "blocking")]
mod election;
mod error;
#[cfg(feature = "blocking")]
mod leader;
pub(crate) mod step_down;

#[cfg(feature = "blocking")]
pub use self::{election::LeaderElection, leader::Leadership};
pub use self::{error::CampaignError, step_down::StepDown};
