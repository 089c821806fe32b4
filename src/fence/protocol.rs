//! What is asked and answered for a token, once, over any driver.

use diesel::result::Error as Diesel;

use super::{FenceError, FencingToken};
use crate::{
    driver::Driver,
    name::{self, LockName},
    statement::{
        ask_again::Failed,
        fence::{self, Spent},
    },
};

pub(crate) async fn next_token<D: Driver<C>, C>(conn: &mut C, name: LockName) -> Result<FencingToken, FenceError> {
    if D::depth(conn)? > 0 {
        return Err(FenceError::InTransaction { name });
    }
    let spent = fence::next_token::<D, C>(conn, &name, &key(&name)).await;
    match spent.map_err(|failed| explain(failed, &name, |name, source| FenceError::NoToken { name, source }))? {
        Spent { token, is_held: true } => Ok(FencingToken(token)),
        Spent { is_held: false, .. } => Err(FenceError::NotHeld { name }),
    }
}

pub(crate) async fn check<D: Driver<C>, C>(
    conn: &mut C,
    name: LockName,
    token: FencingToken,
) -> Result<(), FenceError> {
    if D::depth(conn)? == 0 {
        return Err(FenceError::NoTransaction { name });
    }
    let current = fence::locked_token::<D, C>(conn, &key(&name)).await;
    let current = current.map_err(|failed| explain(failed, &name, |_, source| FenceError::Database(source)))?;
    match current.map(FencingToken) {
        Some(current) if current == token => Ok(()),
        Some(current) if current > token => Err(FenceError::Stale { name, token, current }),
        current => Err(FenceError::Unknown { name, token, current }),
    }
}

/// The same for all names that are one lock on MySQL.
fn key(name: &LockName) -> Vec<u8> {
    name::folded(name.as_str()).into_bytes()
}

/// `other`: an error that is not a missing table.
fn explain(failed: Failed, name: &LockName, other: impl FnOnce(LockName, Diesel) -> FenceError) -> FenceError {
    match failed.is_no_table() {
        true => FenceError::NoTable { name: name.clone(), source: failed.error },
        false => other(name.clone(), failed.error),
    }
}
