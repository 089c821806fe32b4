//! What the test programs share.

pub mod child;
pub mod database;
pub mod logged;
pub mod proxy;
pub mod striking;
mod trials;
pub mod world;

#[doc(hidden)]
pub use libtest_mimic;
