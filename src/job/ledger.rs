//! The table of job runs, as this crate's migration makes it.
//!
//! Each run is written to one row or two: that of the job, whose key is empty, and that of its key.

use diesel::{
    define_sql_function,
    dsl::{DuplicatedKeys, sql},
    expression::SqlLiteral,
    insert_into,
    mysql::data_types::MysqlTime,
    prelude::*,
    sql_types::{Integer, Text},
    update,
};

use super::server_time::ServerTime;
use crate::{LockName, MysqlSession};

/// The longest error text that the ledger keeps, in characters.
const ERROR_CHARS: usize = 1000;
const HOST_CHARS: usize = 255;

/// The key of the row that every run of the job is written to.
const ANY: &[u8] = b"";

diesel::table! {
    named_lock_ledger (job, job_key) {
        job -> Binary,
        job_key -> Binary,
        runs -> Unsigned<BigInt>,
        started_at -> Datetime,
        counts_from -> Datetime,
        ended_at -> Nullable<Datetime>,
        error -> Nullable<Text>,
        host -> Text,
        process_id -> Unsigned<Integer>,
        connection_id -> Unsigned<BigInt>,
    }
}

define_sql_function! { fn utc_timestamp(digits: Integer) -> Datetime; }
define_sql_function! {
    #[sql_name = "CONNECTION_ID"]
    fn own_id() -> Unsigned<BigInt>;
}
define_sql_function! { fn is_used_lock(name: Text) -> Nullable<Unsigned<BigInt>>; }

/// The server's clock in UTC, whatever the session's time zone is. Its digits must be a literal.
fn now() -> utc_timestamp<SqlLiteral<Integer>> {
    utc_timestamp(sql("6"))
}

/// The rows of one job, and of one of its keys where there is one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ledger<'a> {
    pub(super) job: &'a LockName,
    pub(super) key: Option<&'a str>,
}

/// One row, and what the server said along with it.
#[derive(Debug, Queryable)]
pub(super) struct Entry {
    key: Vec<u8>,
    pub(super) runs: u64,
    pub(super) started: ServerTime,
    pub(super) counts_from: ServerTime,
    pub(super) ended: Option<ServerTime>,
    pub(super) error: Option<String>,
    pub(super) host: String,
    pub(super) process_id: u32,
    pub(super) connection_id: u64,
    pub(super) now: ServerTime,
    /// The session that holds the lock.
    pub(super) holder: Option<u64>,
}

impl Entry {
    /// Whether it is that of the key, and not that of the job.
    pub(super) fn is_for_key(&self) -> bool {
        self.key != ANY
    }
}

impl Ledger<'_> {
    fn job(&self) -> &[u8] {
        self.job.as_str().as_bytes()
    }

    fn key(&self) -> &[u8] {
        self.key.map_or(ANY, str::as_bytes)
    }

    /// The row of the job, and that of the key; those that there are.
    pub(super) fn read<C: MysqlSession>(&self, conn: &mut C) -> QueryResult<Vec<Entry>> {
        use named_lock_ledger::dsl;
        dsl::named_lock_ledger
            .select((
                dsl::job_key,
                dsl::runs,
                dsl::started_at,
                dsl::counts_from,
                dsl::ended_at,
                dsl::error,
                dsl::host,
                dsl::process_id,
                dsl::connection_id,
                now(),
                is_used_lock(self.job.as_str()),
            ))
            .filter(dsl::job.eq(self.job()))
            .filter(dsl::job_key.eq(ANY).or(dsl::job_key.eq(self.key())))
            .load(conn)
    }

    /// Writes that a run begins. Where no transaction is open, it is committed when this returns.
    pub(super) fn start<C: MysqlSession>(&self, conn: &mut C) -> QueryResult<()> {
        use named_lock_ledger::dsl;
        let host = gethostname::gethostname().to_string_lossy().into_owned();
        let host = shortened(&host, HOST_CHARS);
        let by = (dsl::host.eq(host), dsl::process_id.eq(std::process::id()), dsl::connection_id.eq(own_id()));
        let at = (dsl::started_at.eq(now()), dsl::counts_from.eq(now()));
        let row = |key| (dsl::job.eq(self.job()), dsl::job_key.eq(key), dsl::runs.eq(1), at.clone(), by);
        let rows: Vec<_> = [Some(ANY), self.key.map(str::as_bytes)].into_iter().flatten().map(row).collect();
        insert_into(dsl::named_lock_ledger)
            .values(rows)
            .on_conflict(DuplicatedKeys)
            .do_update()
            .set((
                dsl::runs.eq(dsl::runs + 1),
                at.clone(),
                by,
                dsl::ended_at.eq(None::<MysqlTime>),
                dsl::error.eq(None::<&str>),
            ))
            .execute(conn)
            .map(drop)
    }

    /// Writes how this session's run ended. `NotFound` where the last run that the ledger knows is not of this session.
    pub(super) fn end<C: MysqlSession>(&self, conn: &mut C, error: Option<&str>) -> QueryResult<()> {
        use named_lock_ledger::dsl;
        let error = error.map(|error| shortened(error, ERROR_CHARS));
        let mut write = || {
            update(dsl::named_lock_ledger)
                .filter(dsl::job.eq(self.job()))
                .filter(dsl::job_key.eq(ANY).or(dsl::job_key.eq(self.key())))
                .filter(dsl::connection_id.eq(own_id()))
                .set((dsl::ended_at.eq(now().nullable()), dsl::error.eq(error)))
                .execute(conn)
        };
        // Once more after an error: it may have been `KILL QUERY`.
        match write().or_else(|_| write())? {
            0 => Err(diesel::result::Error::NotFound),
            _ => Ok(()),
        }
    }

    /// After the clock was set back: runs that seem to begin in the future count from now on.
    pub(super) fn count_from_now<C: MysqlSession>(&self, conn: &mut C) -> QueryResult<()> {
        use named_lock_ledger::dsl;
        update(dsl::named_lock_ledger)
            .filter(dsl::job.eq(self.job()))
            .filter(dsl::job_key.eq(ANY).or(dsl::job_key.eq(self.key())))
            .filter(dsl::counts_from.gt(now()))
            .set(dsl::counts_from.eq(now()))
            .execute(conn)
            .map(drop)
    }
}

/// At most so many characters of it.
fn shortened(text: &str, chars: usize) -> &str {
    text.char_indices().nth(chars).map_or(text, |(end, _)| &text[..end])
}
