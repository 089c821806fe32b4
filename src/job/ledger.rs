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
    sql_types::{Binary, Integer, Nullable},
    update,
};

use super::server_time::ServerTime;
use crate::{driver::NamedLockConnection, name::LockName};

/// The longest error text that the ledger keeps, in characters.
const ERROR_CHARS: usize = 1000;
const HOST_CHARS: usize = 255;

/// The key of the row that every run of the job is written to.
const ANY: &[u8] = b"";

// Texts are bytes here, too, and go as UTF-8 both ways: what is sent as a text, the server takes to be in the session's
// character set, and converts.
diesel::table! {
    named_lock_ledger (job, job_key) {
        job -> Binary,
        job_key -> Binary,
        runs -> Unsigned<BigInt>,
        started_at -> Datetime,
        counts_from -> Datetime,
        ended_at -> Nullable<Datetime>,
        error -> Nullable<Binary>,
        host -> Binary,
        process_id -> Unsigned<Integer>,
        connection_id -> Unsigned<BigInt>,
    }
}

define_sql_function! { fn utc_timestamp(digits: Integer) -> Datetime; }
define_sql_function! {
    #[sql_name = "CONNECTION_ID"]
    fn own_id() -> Unsigned<BigInt>;
}

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
    error: Option<Vec<u8>>,
    host: Vec<u8>,
    pub(super) process_id: u32,
    pub(super) connection_id: u64,
    pub(super) now: ServerTime,
}

impl Entry {
    /// Whether it is that of the key, and not that of the job.
    pub(super) fn is_for_key(&self) -> bool {
        self.key != ANY
    }

    pub(super) fn error(&self) -> Option<String> {
        self.error.as_deref().map(text)
    }

    pub(super) fn host(&self) -> String {
        text(&self.host)
    }
}

impl Ledger<'_> {
    fn job(&self) -> &[u8] {
        self.job.as_str().as_bytes()
    }

    fn key(&self) -> &[u8] {
        self.key.map_or(ANY, str::as_bytes)
    }

    /// The row of the job, and that of the key; those that there are. `current`: as they are now, and not as of the beginning
    /// of a transaction that raw SQL may have left open.
    pub(super) fn read<C: NamedLockConnection>(&self, conn: &mut C, current: bool) -> QueryResult<Vec<Entry>> {
        use named_lock_ledger::dsl;
        let rows = dsl::named_lock_ledger
            .select((
                dsl::job_key,
                dsl::runs,
                dsl::started_at,
                dsl::counts_from,
                dsl::ended_at,
                sql::<Nullable<Binary>>("CAST(error AS BINARY)"),
                sql::<Binary>("CAST(host AS BINARY)"),
                dsl::process_id,
                dsl::connection_id,
                now(),
            ))
            .filter(dsl::job.eq(self.job()))
            .filter(dsl::job_key.eq(ANY).or(dsl::job_key.eq(self.key())))
            // Both, also where `sql_select_limit` says less.
            .limit(2);
        if current { rows.for_update().load(conn) } else { rows.load(conn) }
    }

    /// Writes that a run begins. Where no transaction is open, it is committed when this returns.
    pub(super) fn start<C: NamedLockConnection>(&self, conn: &mut C) -> QueryResult<()> {
        use named_lock_ledger::dsl;
        let host = gethostname::gethostname().to_string_lossy().into_owned();
        let host = shortened(&host, HOST_CHARS).as_bytes();
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
                dsl::error.eq(None::<&[u8]>),
            ))
            .execute(conn)
            .map(drop)
    }

    /// Writes how this session's run ended. `NotFound` where the last run that the ledger knows is not of this session.
    pub(super) fn end<C: NamedLockConnection>(&self, conn: &mut C, error: Option<&str>) -> QueryResult<()> {
        use named_lock_ledger::dsl;
        let error = error.map(|error| shortened(error, ERROR_CHARS).as_bytes());
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
    pub(super) fn count_from_now<C: NamedLockConnection>(&self, conn: &mut C) -> QueryResult<()> {
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

/// Whatever was written there by hand is shown as well as it can be.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// At most so many characters of it.
fn shortened(text: &str, chars: usize) -> &str {
    text.char_indices().nth(chars).map_or(text, |(end, _)| &text[..end])
}
