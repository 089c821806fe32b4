//! Locks over a majority of three servers, of the product of `TEST_SERVER`.

mod clusters;
mod costs;
mod home;
mod members;
mod nodes;
mod refused;
mod sections;
mod stage;
mod storm;
