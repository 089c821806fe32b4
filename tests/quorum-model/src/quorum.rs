//! The crate's own files.

// What only the driver needs.
#![allow(dead_code)]

#[path = "../../../src/quorum/membership.rs"]
pub mod membership;
#[path = "../../../src/quorum/node_set.rs"]
pub mod node_set;
#[path = "../../../src/quorum/protocol.rs"]
pub mod protocol;
