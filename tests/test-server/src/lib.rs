//! A real MariaDB or MySQL server for tests, examples and benchmarks.
//!
//! ```no_run
//! use diesel::prelude::*;
//! use test_server::Server;
//!
//! let mut conn = MysqlConnection::establish(Server::shared().url())?;
//! # Ok::<_, ConnectionError>(())
//! ```
//!
//! [`Server::shared`] is the one server of a process: that of `DATABASE_URL` if set, otherwise a private one
//! of the product that `TEST_SERVER` names (`mariadb`, the default, `mariadb-10.5`, `mariadb-11.8` or `mysql`).
//! [`Server::start`] gives another private one, for a test that is going to hurt it.
//!
//! A private server has its own data folder, its own Unix socket and a free loopback port, the user `root` without a
//! password, and an empty database `test`. Nothing in it outlives a crash: it is fast, not durable. However the process
//! ends, even by `kill -9`, the server is killed and its folder removed.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod folder;
mod keeper;
mod mariadb;
mod mysql;
mod product;
mod programs;
mod recipe;
mod server;
mod shared;
mod unpacked;

pub use mariadb::galera_library;
pub use product::Product;
pub use server::{Server, free_port};
