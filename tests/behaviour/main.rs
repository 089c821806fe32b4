//! The crate against a real server: `TEST_SERVER=mariadb` (the default) or `TEST_SERVER=mysql`, or that of `DATABASE_URL`.

mod connections;
mod cost;
mod errors;
mod facts;
mod hooks;
mod interrupted;
mod logged;
mod logging;
mod lost;
mod names;
mod several;
#[path = "../jobs/striking.rs"]
mod striking;
mod struck_transactions;
mod transactions;
mod troubles;
mod waiting;
mod ways_out;
mod world;
