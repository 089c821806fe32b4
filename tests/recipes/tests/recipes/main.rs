//! Sections in the pools and connections of other crates, on a real server: `TEST_SERVER=mariadb` (the default) or `TEST_SERVER=mysql`.

mod async_bb8_diesel;
mod deadpool_diesel;
mod diesel_tracing;
mod multi_connection;
mod rocket_sync_db_pools;
