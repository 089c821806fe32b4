//! Sections that are long, hosts that vanish, and what pooled sessions are left with: `TEST_SERVER=mariadb` (the default)
//! or `TEST_SERVER=mysql`, or the server of `DATABASE_URL`, if that has an IP address and a port for a proxy to lead to.

mod abandon;
mod clean;
mod clean_struck;
mod keep_alive;
mod round_trips;
mod still_holds;
