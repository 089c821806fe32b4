//! The protocol of permits under a model checker: `N` holders at once, shared and exclusive, by named locks.
//!
//! Each scenario runs in all orders of its clients' steps. Sessions and statements are killed at any moment, a few at most,
//! and deadlines pass at any moment. That proves the protocol, not the code and no server.
//!
//! `cargo test --package permit-model -- --nocapture` prints the number of states, and the run that shows each flaw.

mod events;
mod flaws;
mod proofs;
mod properties;
mod protocol;
mod scenario;
mod server;
mod state;
