//! Leader election: one of the processes that campaign for a lock leads.
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
//! } // The leadership is dropped. Campaigns again.
//! # }
//! ```
//!
//! A leader holds the named lock on a connection of its own, which a thread pings. When the leader resigns or dies, the server gives the
//! lock to the candidate that has waited longest, within milliseconds.
//!
//! | what happens | the next leader leads | the old leader knows |
//! |---|---|---|
//! | it resigns, or is dropped | at once | at once |
//! | its process dies (`kill -9`) | at once | – |
//! | its session is killed, or the server restarts | at once | within a third of the [idle limit](LeaderElection::idle_limit) |
//! | its process is stopped (`SIGSTOP`) | after the idle limit | at once, when it runs again |
//! | its network goes silent, or its host loses its power | after the idle limit | before that |
//!
//! # What it does not promise
//!
//! * **A leader may be deposed right after `is_leader` returned `true`.** Code that was paused after
//!   [`is_leader`](Leadership::is_leader) continues. In the third row above, `is_leader` itself is late. If two leaders must never both
//!   write, use [the term](Leadership::term), and a writer that checks it.
//! * **The lock belongs to one server.** After a failover, the old leader's session is gone with the old server, and a candidate on the new
//!   server leads. Candidates that are connected to different servers all lead.
//! * A machine that was suspended as a whole learns only from the first ping that it was away. On Linux, the clock that
//!   [`Instant`](std::time::Instant) reads stands still while a machine is suspended.

#[cfg(feature = "blocking")]
mod election;
mod error;
#[cfg(feature = "blocking")]
mod leader;
pub(crate) mod step_down;

#[cfg(feature = "blocking")]
pub use self::{election::LeaderElection, leader::Leadership};
pub use self::{error::CampaignError, step_down::StepDown};
