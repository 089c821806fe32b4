//! `NamedLockPool` against a real server: `TEST_SERVER=mariadb` (the default) or `TEST_SERVER=mysql`, or `DATABASE_URL`.

mod events;
mod group_confirmation;
mod guards;
mod hand_off;
mod line;
mod nested;
mod queueing;
mod stale;
mod struck;
mod timeouts;
mod ways_out;
