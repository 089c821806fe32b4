//! The examples, as a user runs them: `TEST_SERVER=mariadb` (the default) or `TEST_SERVER=mysql`, or that of
//! `DATABASE_URL`.

mod demonstrations;
mod program;
mod pymysqllock;
