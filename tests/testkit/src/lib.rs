//! What the test programs share.

pub mod child;
pub mod clusters;
pub mod database;
pub mod logged;
pub mod program;
pub mod proxy;
pub mod round_trips;
pub mod striking;
mod trials;
pub mod world;

#[doc(hidden)]
pub use libtest_mimic;
