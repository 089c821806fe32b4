//! The crate against a real server: `TEST_SERVER=mariadb` (the default) or `TEST_SERVER=mysql`, or that of `DATABASE_URL`.

mod connections;
mod cost;
mod errors;
mod facts;
mod hooks;
mod hooks_at_errors;
mod interrupted;
mod left_open;
mod logging;
mod lost;
mod names;
mod session_settings;
mod several;
mod struck;
mod struck_transactions;
mod transactions;
mod troubles;
mod waiting;
mod ways_out;
