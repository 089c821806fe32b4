//! Singleton jobs on a real server: `TEST_SERVER=mariadb` (the default) or `TEST_SERVER=mysql`, or that of `DATABASE_URL`.

mod bad_input;
mod clock;
mod cost;
mod database;
mod due;
mod ends;
mod look;
mod lost;
mod machine;
mod names;
mod processes;
mod sessions;
mod status;
mod struck;
mod uncommitted;
mod whole_ledger;
mod without_table;
