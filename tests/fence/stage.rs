//! A database with the table of the tokens, and sections that take one.

use diesel::{MysqlConnection, connection::SimpleConnection};
use diesel_named_lock::fence::{FenceError, FenceExt, FencingToken};

pub use crate::database::{Database, database};
use crate::world::SOON;

/// The SQL that this crate ships, as somebody would copy it.
pub const UP: &str = include_str!("../../migrations/2026-11-23-120000-namedlock_create_named_lock_fences/up.sql");

pub fn database_with_fences() -> Database {
    let database = database();
    database.connect().batch_execute(UP).expect("the table");
    database
}

/// A section that does nothing: its token.
pub fn token(conn: &mut MysqlConnection, name: &str) -> u64 {
    let token: Result<_, FenceError> = conn.with_fenced_lock(name, SOON, |_, token| Ok(token.get()));
    token.expect("a token")
}

pub fn tokens(conn: &mut MysqlConnection, names: &[&str]) -> Vec<u64> {
    names.iter().map(|name| token(conn, name)).collect()
}

pub fn fencing(number: u64) -> FencingToken {
    FencingToken::from(number)
}
