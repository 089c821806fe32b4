//! The protocol of a quorum under a model checker: the crate's own `protocol.rs` and `membership.rs`, on servers that crash and forget, with
//! sessions that are killed, answers that never come and clients that die.
//!
//! Each scenario runs in all orders of its steps. Faults come at any moment, a few at most. That proves the protocol, not the driver that
//! carries out its orders, and no server.
//!
//! `cargo test --release --package quorum-model -- --nocapture` prints the number of states, and the run that shows each flaw.

mod client;
mod events;
mod faults;
mod flaws;
mod nodes;
mod proofs;
mod properties;
mod quorum;
mod scenario;
mod section;
mod server;
mod state;
mod steps;
