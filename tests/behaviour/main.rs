//! The crate against a real server: `TEST_SERVER=mariadb` (the default) or `TEST_SERVER=mysql`, or that of `DATABASE_URL`.

mod clean_sessions;
mod clean_sessions_struck;
mod connections;
mod cost;
mod errors;
mod facts;
mod guards;
mod hooks;
mod hooks_at_errors;
mod idle_limit;
mod interrupted;
mod keep_alive;
mod left_open;
mod logging;
mod lost;
mod names;
mod round_trips;
mod session_settings;
mod several;
mod still_holds;
mod struck;
mod struck_transactions;
mod transactions;
mod troubles;
mod waiting;
mod ways_out;
