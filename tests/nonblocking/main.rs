//! Sections on the connections of `diesel-async`, on a real server: `TEST_SERVER=mariadb` (the default) or `TEST_SERVER=mysql`.

mod dropped;
#[cfg(feature = "fence")]
mod fence;
mod guards;
mod mobc;
#[cfg(feature = "job")]
mod job;
#[cfg(feature = "operator")]
mod operator;
mod pool;
mod sections;
mod stage;
mod statements;
mod storm;
mod watched;
mod world;
mod wrapper;
