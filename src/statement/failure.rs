//! Why a statement of ours failed: the server's error number, which Diesel does not tell.

use diesel::{
    RunQueryDsl,
    dsl::sql,
    result::Error,
    select,
    sql_types::{Integer, Nullable},
};

use crate::driver::{self, MysqlSession};

/// A statement that got no clear answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The server answered NULL, as MariaDB does to `KILL QUERY` and to a statement time limit.
    Null,
    Error(Cause, Error),
}

impl Failure {
    /// What Diesel says, or will say from now on, of a connection that was marked because of it.
    pub(crate) fn into_source(self) -> Error {
        match self {
            Self::Null => Error::BrokenTransactionManager,
            Self::Error(_, error) => error,
        }
    }
}

/// What the server's error number means for a section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    Deadlock,
    /// Ended from outside, or for a reason that can't be asked for any more.
    Interrupted,
    /// A statement time limit.
    TimeLimit,
    /// The caller's own timeout.
    OutOfTime,
    /// Anything else.
    Refused,
}

/// For a statement that stays in Diesel's statement cache.
pub(crate) fn of_cached<C: MysqlSession>(conn: &mut C, error: Error) -> Failure {
    driver::forget_statements(conn);
    of_uncached(conn, error)
}

/// For a statement that was prepared for this once.
pub(crate) fn of_uncached<C: MysqlSession>(conn: &mut C, error: Error) -> Failure {
    let cause = match error_number(conn) {
        Some(1213 | 3058) => Cause::Deadlock,
        Some(1969 | 3024) => Cause::TimeLimit,
        Some(1317) | None => Cause::Interrupted,
        Some(_) => Cause::Refused,
    };
    Failure::Error(cause, error)
}

/// The number of the error that the last statement of this session failed with, if it can still be asked for.
pub(crate) fn error_number<C: MysqlSession>(conn: &mut C) -> Option<i32> {
    // Not preparable on MySQL, hence as batches, and one by one: of a batch of two that `KILL QUERY` ends in between, the
    // server has announced a second result that never comes. Without a condition, the second leaves its variable as
    // it was.
    conn.batch_execute("GET DIAGNOSTICS @diesel_named_lock_errors = NUMBER").ok()?;
    conn.batch_execute("GET DIAGNOSTICS CONDITION 1 @diesel_named_lock_error = MYSQL_ERRNO").ok()?;
    select(sql::<Nullable<Integer>>("IF(@diesel_named_lock_errors > 0, @diesel_named_lock_error, NULL)"))
        .get_result(conn)
        .ok()?
}
