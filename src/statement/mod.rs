//! SQL as data: each statement, its parameters, and the meaning of its answer.
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
#[cfg(feature = "blocking")]
pub(crate) mod held_on;
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
pub(crate) mod several;
pub(crate) mod slots;
pub(crate) mod transaction;
#[cfg(feature = "operator")]
mod version;
pub(crate) mod wait;
#[cfg(feature = "quorum")]
pub(crate) mod whereabouts;
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

/// Only tests construct answers.
#[cfg(not(test))]
pub(crate) trait Scripted {}

#[cfg(not(test))]
impl<T> Scripted for T {}

/// A question with one row for an answer: its columns, what follows them, and what the row means. A driver sends it inside a
/// [`select`].
pub(crate) trait Statement: Query + QueryFragment<Mysql> + QueryId + Scripted {
    type Row: FromSqlRow<Self::SqlType, Mysql>;
    type Answer: 'static;

    /// Whether the answer may take long, because the statement waits for a lock.
    fn waits(&self) -> bool {
        false
    }

    /// How long MySQL may execute it, in milliseconds.
    fn time_limit(&self) -> Option<u32> {
        None
    }

    fn read(&self, row: Self::Row) -> Self::Answer;
}

/// Bytes in UTF-8, whatever the session's character set. MySQL would read a text in the session's character set, so that `SET NAMES latin1`
/// would change the name.
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
