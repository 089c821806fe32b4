//! The runs of jobs: the table `named_lock_ledger`, as this crate's migration makes it.
//!
//! Each run is written to one row or two: that of the job, whose key is empty, and that of its key.
//!
//! Texts go as bytes both ways, as UTF-8: what is sent as a text, the server takes to be in the session's character set, and
//! converts. The empty key is `x''`: a literal or parameter that is an empty string, MariaDB takes for NULL if the session's
//! `sql_mode` has `EMPTY_STRING_IS_NULL`. All times are UTC, whatever the session's time zone is.

use diesel::{
    Queryable,
    deserialize::{FromSql, FromSqlRow},
    mysql::{Mysql, MysqlValue},
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    result::QueryResult,
    sql_types::{BigInt, Binary, Bool, Datetime, Integer, Nullable, Unsigned},
};

use super::server_time::ServerTime;
use crate::driver::Driver;

/// The rows of one job, and of one of its keys if there is one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub(crate) job: &'a [u8],
    pub(crate) key: Option<&'a [u8]>,
}

/// Who runs the job, and which run it is: of all, and of those for the key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Start<'a> {
    pub(crate) host: &'a [u8],
    pub(crate) process_id: u32,
    pub(crate) runs: u64,
    pub(crate) runs_of_key: u64,
}

/// One row, and what the server said along with it.
#[derive(Debug, Queryable)]
pub(crate) struct Entry {
    key: Vec<u8>,
    pub(crate) runs: u64,
    pub(crate) started: ServerTime,
    pub(crate) counts_from: ServerTime,
    pub(crate) ended: Option<ServerTime>,
    pub(crate) error: Option<LossyText>,
    pub(crate) host: LossyText,
    pub(crate) process_id: u32,
    pub(crate) connection_id: u64,
    pub(crate) now: ServerTime,
    /// The connection id of this session.
    own_id: u64,
    autocommit: i64,
    is_settled: bool,
}

/// Whatever was written there by hand is shown as well as it can be.
#[derive(Debug, Clone, FromSqlRow)]
#[diesel(sql_type = Binary)]
pub(crate) struct LossyText(pub(crate) String);

impl FromSql<Binary, Mysql> for LossyText {
    fn from_sql(value: MysqlValue<'_>) -> diesel::deserialize::Result<Self> {
        let bytes = <Vec<u8> as FromSql<Binary, Mysql>>::from_sql(value)?;
        Ok(Self(String::from_utf8_lossy(&bytes).into_owned()))
    }
}

impl Entry {
    /// Whether it is that of the key, and not that of the job.
    pub(crate) fn is_for_key(&self) -> bool {
        !self.key.is_empty()
    }

    pub(crate) fn key(&self) -> Option<String> {
        self.is_for_key().then(|| String::from_utf8_lossy(&self.key).into_owned())
    }

    /// Whether this session wrote it.
    pub(crate) fn is_own(&self) -> bool {
        self.connection_id == self.own_id
    }

    /// Whether nobody held the job's lock when this was read, and nothing was read that is not committed.
    pub(crate) fn is_settled(&self) -> bool {
        self.is_settled
    }

    /// Whether each statement of this session is committed by itself.
    pub(crate) fn has_autocommit(&self) -> bool {
        self.autocommit != 0
    }
}

struct ReadRows<'a>(Rows<'a>);

struct ReadAll;

struct WriteStart<'a, const HAS_KEY: bool>(Rows<'a>, Start<'a>);

struct WriteEnd<'a> {
    rows: Rows<'a>,
    error: Option<&'a [u8]>,
}

struct CountFromNow<'a>(Rows<'a>);

impl Rows<'_> {
    fn push_filter<'b>(&'b self, out: &mut AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.push_sql(" WHERE job = ");
        out.push_bind_param::<Binary, _>(self.job)?;
        out.push_sql(" AND job_key IN (x'', ");
        out.push_bind_param::<Nullable<Binary>, _>(&self.key)?;
        out.push_sql(")");
        Ok(())
    }
}

const COLUMNS: &str = "job_key, runs, started_at, counts_from, ended_at, CAST(error AS BINARY), CAST(host AS BINARY), \
                       process_id, connection_id, UTC_TIMESTAMP(6), CONNECTION_ID(), @@autocommit";

impl QueryFragment<Mysql> for ReadRows<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.push_sql("SELECT ");
        out.push_sql(COLUMNS);
        out.push_sql(", IS_USED_LOCK(");
        out.push_bind_param::<Binary, _>(self.0.job)?;
        // MariaDB leaves out comments of MySQL from 5.7 on, and reads its own (MariaDB manual, "Comment Syntax"). MySQL has the new name
        // since 5.7.20, and only that one since 8.0.3.
        out.push_sql(
            ") IS NULL AND (/*M! @@tx_isolation */ /*!50720 @@transaction_isolation */ <> 'READ-UNCOMMITTED') \
             FROM named_lock_ledger",
        );
        self.0.push_filter(&mut out)?;
        // Both rows, also if `sql_select_limit` says less.
        out.push_sql(" LIMIT 2");
        Ok(())
    }
}

impl QueryFragment<Mysql> for ReadAll {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.push_sql("SELECT job, ");
        out.push_sql(COLUMNS);
        // Whether the lock is free: not asked for, for a name that was written there by hand may be none.
        out.push_sql(", 0 FROM named_lock_ledger ORDER BY job, job_key");
        // All rows, also if `sql_select_limit` says less.
        out.push_sql(" LIMIT 18446744073709551615");
        Ok(())
    }
}

impl<const HAS_KEY: bool> WriteStart<'_, HAS_KEY> {
    fn push_row<'b>(&'b self, out: &mut AstPass<'_, 'b, Mysql>, key: Option<&'b [u8]>) -> QueryResult<()> {
        out.push_sql("(");
        out.push_bind_param::<Binary, _>(self.0.job)?;
        out.push_sql(", ");
        let runs = match key {
            None => {
                out.push_sql("x''");
                &self.1.runs
            }
            Some(key) => {
                out.push_bind_param::<Binary, _>(key)?;
                &self.1.runs_of_key
            }
        };
        out.push_sql(", ");
        out.push_bind_param::<Unsigned<BigInt>, _>(runs)?;
        out.push_sql(", UTC_TIMESTAMP(6), UTC_TIMESTAMP(6), ");
        out.push_bind_param::<Binary, _>(self.1.host)?;
        out.push_sql(", ");
        out.push_bind_param::<Unsigned<Integer>, _>(&self.1.process_id)?;
        out.push_sql(", CONNECTION_ID())");
        Ok(())
    }
}

impl<const HAS_KEY: bool> QueryFragment<Mysql> for WriteStart<'_, HAS_KEY> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        let Start { host, process_id, runs, runs_of_key } = &self.1;
        out.push_sql(
            "INSERT INTO named_lock_ledger \
             (job, job_key, runs, started_at, counts_from, host, process_id, connection_id) VALUES ",
        );
        self.push_row(&mut out, None)?;
        if let (true, Some(key)) = (HAS_KEY, self.0.key) {
            out.push_sql(", ");
            self.push_row(&mut out, Some(key))?;
        }
        // The numbers as they are to be, so that it can be asked again. Bare parameters inside IF would be strings.
        out.push_sql(" ON DUPLICATE KEY UPDATE runs = IF(job_key = x'', CAST(");
        out.push_bind_param::<Unsigned<BigInt>, _>(runs)?;
        out.push_sql(" AS UNSIGNED), CAST(");
        out.push_bind_param::<Unsigned<BigInt>, _>(runs_of_key)?;
        out.push_sql(
            " AS UNSIGNED)), started_at = UTC_TIMESTAMP(6), counts_from = UTC_TIMESTAMP(6), ended_at = NULL, \
             error = NULL, host = ",
        );
        out.push_bind_param::<Binary, _>(*host)?;
        out.push_sql(", process_id = ");
        out.push_bind_param::<Unsigned<Integer>, _>(process_id)?;
        out.push_sql(", connection_id = CONNECTION_ID()");
        Ok(())
    }
}

impl QueryFragment<Mysql> for WriteEnd<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.push_sql("UPDATE named_lock_ledger SET ended_at = UTC_TIMESTAMP(6), error = ");
        out.push_bind_param::<Nullable<Binary>, _>(&self.error)?;
        self.rows.push_filter(&mut out)?;
        out.push_sql(" AND connection_id = CONNECTION_ID()");
        Ok(())
    }
}

impl QueryFragment<Mysql> for CountFromNow<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.push_sql("UPDATE named_lock_ledger SET counts_from = UTC_TIMESTAMP(6)");
        self.0.push_filter(&mut out)?;
        out.push_sql(" AND counts_from > UTC_TIMESTAMP(6)");
        Ok(())
    }
}

type EntrySqlType = (
    Binary,
    Unsigned<BigInt>,
    Datetime,
    Datetime,
    Nullable<Datetime>,
    Nullable<Binary>,
    Binary,
    Unsigned<Integer>,
    Unsigned<BigInt>,
    Datetime,
    Unsigned<BigInt>,
    BigInt,
    Bool,
);

impl Query for ReadRows<'_> {
    type SqlType = EntrySqlType;
}

impl Query for ReadAll {
    type SqlType = (Binary, EntrySqlType);
}

impl QueryId for ReadRows<'_> {
    type QueryId = ReadRows<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl QueryId for ReadAll {
    type QueryId = Self;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<const HAS_KEY: bool> QueryId for WriteStart<'_, HAS_KEY> {
    type QueryId = WriteStart<'static, HAS_KEY>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl QueryId for WriteEnd<'_> {
    type QueryId = WriteEnd<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl QueryId for CountFromNow<'_> {
    type QueryId = CountFromNow<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

/// Those of the rows that there are.
pub(crate) async fn read<D: Driver<C>, C>(conn: &mut C, rows: Rows<'_>) -> QueryResult<Vec<Entry>> {
    D::rows(conn, ReadRows(rows)).await
}

/// All rows, each with its job: by job, that of the job before those of its keys.
pub(crate) async fn read_all<D: Driver<C>, C>(conn: &mut C) -> QueryResult<Vec<(LossyText, Entry)>> {
    D::rows(conn, ReadAll).await
}

/// Writes that a run begins.
pub(crate) async fn write_start<D: Driver<C>, C>(conn: &mut C, rows: Rows<'_>, start: Start<'_>) -> QueryResult<()> {
    let written = match rows.key {
        None => D::change(conn, WriteStart::<false>(rows, start)).await,
        Some(_) => D::change(conn, WriteStart::<true>(rows, start)).await,
    };
    written.map(drop)
}

/// Writes how this session's run ended. Returns the number of rows: 0 if the last run that the ledger knows is not of this
/// session.
pub(crate) async fn write_end<D: Driver<C>, C>(
    conn: &mut C,
    rows: Rows<'_>,
    error: Option<&[u8]>,
) -> QueryResult<usize> {
    D::change(conn, WriteEnd { rows, error }).await
}

/// After the clock was set back: runs that seem to begin in the future count from now on.
pub(crate) async fn count_from_now<D: Driver<C>, C>(conn: &mut C, rows: Rows<'_>) -> QueryResult<()> {
    D::change(conn, CountFromNow(rows)).await.map(drop)
}
