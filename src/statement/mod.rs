//! What is said to a server, as data: each statement, what it binds, and what its answer means.
//!
//! No other module writes SQL. A driver sends it.

pub(crate) mod acquire;
pub(crate) mod ask_again;
#[cfg(feature = "migrations")]
pub(crate) mod database;
pub(crate) mod diagnostics;
#[cfg(feature = "operator")]
pub(crate) mod facts;
#[cfg(feature = "fence")]
pub(crate) mod fence;
#[cfg(feature = "async")]
pub(crate) mod hang_up;
pub(crate) mod kill;
#[cfg(feature = "job")]
pub(crate) mod ledger;
pub(crate) mod leftovers;
#[cfg(feature = "operator")]
pub(crate) mod named_locks;
pub(crate) mod ping;
#[cfg(feature = "operator")]
pub(crate) mod privilege;
pub(crate) mod process_list;
#[cfg(feature = "operator")]
pub(crate) mod question;
pub(crate) mod release;
pub(crate) mod select;
#[cfg(feature = "job")]
mod server_time;
pub(crate) mod session_timeouts;
pub(crate) mod transaction;
#[cfg(feature = "operator")]
mod version;
pub(crate) mod wait;
pub(crate) mod who_am_i;
pub(crate) mod who_holds;

use diesel::{
    deserialize::FromSqlRow,
    mysql::Mysql,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    result::QueryResult,
    sql_types::Binary,
};

#[cfg(test)]
use crate::driver::script::Scripted;
use crate::name::LockName;

/// Only tests play answers.
#[cfg(not(test))]
pub(crate) trait Scripted {}

#[cfg(not(test))]
impl<T> Scripted for T {}

/// A question with one row for an answer: its columns, what follows them, and what the row means. A driver sends it inside a
/// [`select`].
pub(crate) trait Statement: Query + QueryFragment<Mysql> + QueryId + Scripted {
    type Row: FromSqlRow<Self::SqlType, Mysql>;
    type Answer: 'static;

    /// Whether the answer may take its time: a wait for a lock.
    fn waits(&self) -> bool {
        false
    }

    /// In milliseconds: how long MySQL may execute it.
    fn time_limit(&self) -> Option<u32> {
        None
    }

    fn read(&self, row: Self::Row) -> Self::Answer;
}

/// Bytes that are UTF-8, whatever the session's character set: MySQL would read a text in that one, and `SET NAMES latin1`
/// would make another name of it.
fn push_name<'b>(out: &mut AstPass<'_, 'b, Mysql>, name: &'b LockName) -> QueryResult<()> {
    out.push_bind_param::<Binary, _>(name.as_str().as_bytes())
}

/// Statements that stay in the cache, each under its own type.
macro_rules! cached {
    ($($statement:ty => $id:ty),* $(,)?) => {$(
        impl diesel::query_builder::QueryId for $statement {
            type QueryId = $id;
            const HAS_STATIC_QUERY_ID: bool = true;
        }
    )*};
}
use cached;

/// Statements that are prepared for one execution.
macro_rules! not_cached {
    ($($statement:ty),* $(,)?) => {$(
        impl diesel::query_builder::QueryId for $statement {
            type QueryId = ();
            const HAS_STATIC_QUERY_ID: bool = false;
        }
    )*};
}
use not_cached;
