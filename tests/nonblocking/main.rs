//! Sections on the connections of `diesel-async`, on a real server: `TEST_SERVER=mariadb` (the default) or `TEST_SERVER=mysql`.

mod dropped;
mod dropped_in_turn;
#[cfg(feature = "fence")]
mod fence;
mod guards;
#[cfg(feature = "job")]
mod job;
mod leadership;
#[cfg(feature = "migrations")]
mod migration;
mod mobc;
#[cfg(feature = "operator")]
mod operator;
mod out_of_step;
mod pool;
mod round_trips;
mod sections;
mod stage;
mod statements;
mod storm;
mod watched;
mod world;
mod wrapper;
