//! A database with the table of the tokens, and sections that take one.

use std::time::Duration;

use diesel::{MysqlConnection, connection::SimpleConnection};
use diesel_named_lock::{
    LockName, NamedLockConnection, NamedLockError, NamedLockExt,
    fence::{self, FenceError, FencingToken},
};

pub use testkit::database::{Database, database};
use testkit::world::SOON;

/// The SQL that this crate ships, as somebody would copy it.
pub const UP: &str = include_str!("../../migrations/00000000000001-namedlock_create_named_lock_fences/up.sql");

pub fn database_with_fences() -> Database {
    let database = database();
    database.connect().batch_execute(UP).expect("the table");
    database
}

/// Sections that begin with a token.
pub trait FenceExt: NamedLockConnection {
    fn with_fenced_lock<T, E, F>(&mut self, name: impl AsRef<str>, timeout: Duration, work: F) -> Result<T, E>
    where
        E: From<FenceError> + From<NamedLockError>,
        F: FnOnce(&mut Self, FencingToken) -> Result<T, E>,
    {
        let name = LockName::new(name).map_err(NamedLockError::from)?;
        self.with_named_lock(&name, timeout, |conn| {
            let token = fence::next_token(conn, &name)?;
            work(conn, token)
        })
    }
}

impl<C: NamedLockConnection> FenceExt for C {}

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
