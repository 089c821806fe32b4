//! The drivers, which send statements, and the access to Diesel's inner state.

pub(crate) mod blocking;
pub(crate) mod error_number;
#[cfg(test)]
pub(crate) mod honest;
#[cfg(feature = "async")]
pub(crate) mod nonblocking;
pub(crate) mod out_of_step;
pub(crate) mod retry;
#[cfg(test)]
pub(crate) mod script;
pub(crate) mod status;

use std::time::Duration;

use diesel::{
    deserialize::FromSqlRow,
    expression::QueryMetadata,
    mysql::Mysql,
    query_builder::{Query, QueryFragment, QueryId},
    result::QueryResult,
};

use crate::statement::Statement;

/// The operations that the protocol needs on a connection of type `C`.
///
/// The implementing types are empty, and the connection is an argument: a driver that borrowed the connection would make the
/// futures of async callers not `Send` (rust-lang/rust#100013).
pub(crate) trait Driver<C> {
    /// Sends a question and reads its answer. If it fails, what the connection has prepared is dropped.
    async fn ask<S: Statement>(conn: &mut C, statement: &S) -> QueryResult<S::Answer>
    where
        Mysql: QueryMetadata<S::SqlType>;

    /// Executes a statement that has no answer. If it fails, what the connection has prepared is dropped.
    async fn execute<S: QueryFragment<Mysql> + QueryId + 'static>(conn: &mut C, statement: S) -> QueryResult<()>;

    /// Sends a query and reads all its rows. If it fails, what the connection has prepared is dropped.
    async fn rows<Q, R>(conn: &mut C, query: Q) -> QueryResult<Vec<R>>
    where
        Q: Query + QueryFragment<Mysql> + QueryId,
        R: FromSqlRow<Q::SqlType, Mysql>,
        Mysql: QueryMetadata<Q::SqlType>;

    /// Executes a statement that may wait for locks of other sessions, and returns the number of rows that it affects. If it
    /// fails, what the connection has prepared is dropped.
    async fn change<S: QueryFragment<Mysql> + QueryId>(conn: &mut C, statement: S) -> QueryResult<usize>;

    /// Executes text, for statements that can't be prepared.
    async fn batch(conn: &mut C, sql: &str) -> QueryResult<()>;

    /// Kills the session of this connection. An error means nothing, because the session may die before its answer. Returns `false` if the
    /// server is silent.
    async fn kill_own(conn: &mut C) -> bool;

    /// Rolls back the innermost of the open transactions and savepoints, once.
    async fn roll_back_innermost(conn: &mut C) -> QueryResult<()>;

    async fn pause(time: Duration);

    /// Returns how many transactions and savepoints are open, as far as Diesel knows. A test transaction does not count.
    ///
    /// # Errors
    ///
    /// `BrokenTransactionManager` if Diesel no longer knows.
    fn depth(conn: &mut C) -> QueryResult<u32>;

    /// Returns whether Diesel's `begin_test_transaction` has opened a transaction.
    fn is_in_test_transaction(conn: &mut C) -> bool;

    /// Makes Diesel believe that no transaction is open.
    fn set_no_transaction(conn: &mut C);

    /// Makes a pool close this connection at check-in. No I/O, and no statement can undo it.
    fn mark_broken(conn: &mut C);
}
