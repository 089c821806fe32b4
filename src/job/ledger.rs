//! Reads from the ledger, and writes to it with a commit.
//!
//! The start is committed before the closure begins, and the end before the lock is released. That is so whatever raw SQL has begun before or
//! does in the closure, and also if autocommit is off.

use diesel::result::{Error, QueryResult};

use crate::{
    driver::{Driver, retry::pauses},
    name::LockName,
    statement::{
        ask_again::{Failed, Unless, again},
        ledger::{self, Entry, Rows, Start},
        transaction::{commit, commit_again, roll_back},
    },
};

/// The longest error text that the ledger keeps, in characters.
const ERROR_CHARS: usize = 1000;
const HOST_CHARS: usize = 255;

/// The rows of one job, and of one of its keys if there is one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ledger<'a> {
    pub(super) job: &'a LockName,
    pub(super) key: Option<&'a str>,
}

impl Ledger<'_> {
    fn rows(&self) -> Rows<'_> {
        Rows { job: self.job.as_str().as_bytes(), key: self.key.map(str::as_bytes) }
    }

    /// Reads the ledger as this session sees it. In a transaction, that is as of its beginning.
    pub(super) async fn read<D: Driver<C>, C>(&self, conn: &mut C) -> Result<Vec<Entry>, Failed> {
        again!(D, conn, Unless::Interrupted, ledger::read::<D, C>(conn, self.rows()).await)
    }

    /// Reads the ledger as it is now. First commits what raw SQL has begun.
    pub(super) async fn read_current<D: Driver<C>, C>(&self, conn: &mut C) -> Result<Vec<Entry>, Failed> {
        commit_again::<D, C>(conn).await?;
        self.read::<D, C>(conn).await
    }

    /// Writes the start of the next run after those that were read while no transaction was open.
    pub(super) async fn start<D: Driver<C>, C>(&self, conn: &mut C, entries: &[Entry]) -> Result<(), Failed> {
        let next = |for_key| {
            entries.iter().find(|entry| entry.is_for_key() == for_key).map_or(1, |entry| entry.runs.saturating_add(1))
        };
        let host = gethostname::gethostname().to_string_lossy().into_owned();
        let host = shortened(&host, HOST_CHARS).as_bytes();
        let start = Start { host, process_id: std::process::id(), runs: next(false), runs_of_key: next(true) };
        let commits = !commit_themselves(entries);
        again!(D, conn, Unless::Undone, self.write_start::<D, C>(conn, start, commits).await)
    }

    async fn write_start<D: Driver<C>, C>(&self, conn: &mut C, start: Start<'_>, commits: bool) -> QueryResult<()> {
        ledger::write_start::<D, C>(conn, self.rows(), start).await?;
        if commits { commit::<D, C>(conn).await } else { Ok(()) }
    }

    /// Writes that this session's run succeeded, and commits that together with what raw SQL in the closure left uncommitted: both or neither.
    /// Returns `NotFound` if the last run in the ledger is not of this session.
    pub(super) async fn succeed<D: Driver<C>, C>(&self, conn: &mut C) -> QueryResult<()> {
        // Not repeated if the server rolled back the transaction: what the closure wrote would be missing.
        let written = again!(D, conn, Unless::Interrupted, self.write_end::<D, C>(conn, None).await);
        if written.map_err(|failed| failed.error)? == 0 {
            return Err(Error::NotFound);
        }
        let Err(first) = commit::<D, C>(conn).await else { return Ok(()) };
        // The second attempt has nothing to commit if the first one succeeded after all, or was a rollback: on MariaDB, a commit that
        // waits for a backup and is killed.
        if commit_again::<D, C>(conn).await.is_err() {
            return Err(first);
        }
        let ended = |entries: Vec<Entry>| {
            entries.iter().any(|entry| !entry.is_for_key() && entry.is_own() && entry.ended.is_some())
        };
        if self.read::<D, C>(conn).await.is_ok_and(ended) { Ok(()) } else { Err(first) }
    }

    /// Rolls back what raw SQL in the closure left uncommitted, and writes that this session's run failed. Returns `NotFound` as
    /// [`succeed`](Self::succeed) does. Then nothing is rolled back, because this may be another session, which the closure swapped in.
    pub(super) async fn fail<D: Driver<C>, C>(&self, conn: &mut C, error: &str) -> QueryResult<()> {
        // MariaDB may treat an empty text as NULL, and NULL means success.
        let error = if error.is_empty() { "an error without a text" } else { shortened(error, ERROR_CHARS) };
        let entries = self.read::<D, C>(conn).await.map_err(|failed| failed.error)?;
        if !entries.iter().any(Entry::is_own) {
            return Err(Error::NotFound);
        }
        let written = again!(D, conn, Unless::Undone, self.write_failure::<D, C>(conn, error).await);
        match written.map_err(|failed| failed.error)? {
            0 => Err(Error::NotFound),
            _ => Ok(()),
        }
    }

    async fn write_failure<D: Driver<C>, C>(&self, conn: &mut C, error: &str) -> QueryResult<usize> {
        roll_back::<D, C>(conn).await?;
        let written = self.write_end::<D, C>(conn, Some(error.as_bytes())).await?;
        commit::<D, C>(conn).await.map(|()| written)
    }

    /// Returns the number of rows written. If `KILL QUERY` strikes an `UPDATE`, MariaDB 11.8 may answer without an error that no row was found.
    /// So it is repeated as long as the row is there.
    async fn write_end<D: Driver<C>, C>(&self, conn: &mut C, error: Option<&[u8]>) -> QueryResult<usize> {
        for pause in pauses() {
            let written = ledger::write_end::<D, C>(conn, self.rows(), error).await?;
            if written > 0 || !ledger::read::<D, C>(conn, self.rows()).await?.iter().any(Entry::is_own) {
                return Ok(written);
            }
            D::pause(pause).await;
        }
        Ok(0)
    }

    /// Lets runs that seem to start in the future, because the clock was set back, count from now on.
    pub(super) async fn count_from_now<D: Driver<C>, C>(&self, conn: &mut C) -> Result<(), Failed> {
        again!(D, conn, Unless::Undone, self.write_count_from_now::<D, C>(conn).await)
    }

    async fn write_count_from_now<D: Driver<C>, C>(&self, conn: &mut C) -> QueryResult<()> {
        ledger::count_from_now::<D, C>(conn, self.rows()).await?;
        commit::<D, C>(conn).await
    }

    /// Ends the transaction that a read begins without autocommit. Its locks would stay otherwise.
    pub(super) async fn end_read<D: Driver<C>, C>(&self, conn: &mut C, entries: &[Entry]) -> Result<(), Failed> {
        if commit_themselves(entries) { Ok(()) } else { commit_again::<D, C>(conn).await }
    }
}

/// Whether the statements of the session that read this are committed by themselves. Unknown if it read no row.
pub(super) fn commit_themselves(entries: &[Entry]) -> bool {
    !entries.is_empty() && entries.iter().all(Entry::has_autocommit)
}

/// Returns at most `chars` characters of `text`.
fn shortened(text: &str, chars: usize) -> &str {
    text.char_indices().nth(chars).map_or(text, |(end, _)| &text[..end])
}
