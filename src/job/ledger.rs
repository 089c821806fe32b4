//! What is read from the ledger and written to it, and that it is committed.
//!
//! Whatever raw SQL has begun before, or does in the work, and also if autocommit is off: the start is committed before the
//! work begins, the end before the lock is released.

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

    /// As this session sees it; in a transaction, as of its beginning.
    pub(super) async fn read<D: Driver<C>, C>(&self, conn: &mut C) -> Result<Vec<Entry>, Failed> {
        again!(D, conn, Unless::Interrupted, ledger::read::<D, C>(conn, self.rows()).await)
    }

    /// As it is now: commits first what raw SQL has begun.
    pub(super) async fn read_current<D: Driver<C>, C>(&self, conn: &mut C) -> Result<Vec<Entry>, Failed> {
        commit_again::<D, C>(conn).await?;
        self.read::<D, C>(conn).await
    }

    /// Writes that a run begins, the next one after those that were read.
    pub(super) async fn start<D: Driver<C>, C>(&self, conn: &mut C, entries: &[Entry]) -> Result<(), Failed> {
        let next = |for_key| {
            entries.iter().find(|entry| entry.is_for_key() == for_key).map_or(1, |entry| entry.runs.saturating_add(1))
        };
        let host = gethostname::gethostname().to_string_lossy().into_owned();
        let host = shortened(&host, HOST_CHARS).as_bytes();
        let start = Start { host, process_id: std::process::id(), runs: next(false), runs_of_key: next(true) };
        again!(D, conn, Unless::Undone, self.write_start::<D, C>(conn, start).await)
    }

    async fn write_start<D: Driver<C>, C>(&self, conn: &mut C, start: Start<'_>) -> QueryResult<()> {
        ledger::write_start::<D, C>(conn, self.rows(), start).await?;
        commit::<D, C>(conn).await
    }

    /// Writes that this session's run succeeded, and commits it together with what the work has left uncommitted by raw SQL:
    /// both or neither. `NotFound` if the last run that the ledger knows is not of this session.
    pub(super) async fn succeed<D: Driver<C>, C>(&self, conn: &mut C) -> QueryResult<()> {
        // Not again if the server rolled back the transaction: what the work wrote would be missing.
        let written = again!(D, conn, Unless::Interrupted, self.write_end::<D, C>(conn, None).await);
        if written.map_err(|failed| failed.error)? == 0 {
            return Err(Error::NotFound);
        }
        let Err(first) = commit::<D, C>(conn).await else { return Ok(()) };
        // The second attempt has nothing to commit if the first one was a success after all, or a rollback: on MariaDB, a
        // commit that waits for a backup and is killed.
        if commit_again::<D, C>(conn).await.is_err() {
            return Err(first);
        }
        let ended = |entries: Vec<Entry>| {
            entries.iter().any(|entry| !entry.is_for_key() && entry.is_own() && entry.ended.is_some())
        };
        if self.read::<D, C>(conn).await.is_ok_and(ended) { Ok(()) } else { Err(first) }
    }

    /// Rolls back what the work has left uncommitted by raw SQL, and writes that this session's run failed. `NotFound` as for
    /// [`succeed`](Self::succeed); then nothing is rolled back, since this may be another session, which the work swapped in.
    pub(super) async fn fail<D: Driver<C>, C>(&self, conn: &mut C, error: &str) -> QueryResult<()> {
        // MariaDB may take an empty text for NULL, and NULL is a success.
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

    /// Writes to how many rows? MariaDB 11.8 may answer an `UPDATE` that `KILL QUERY` strikes without an error: no row was found.
    /// So it is asked again as long as the row is there.
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

    /// After the clock was set back: runs that seem to begin in the future count from now on.
    pub(super) async fn count_from_now<D: Driver<C>, C>(&self, conn: &mut C) -> Result<(), Failed> {
        again!(D, conn, Unless::Undone, self.write_count_from_now::<D, C>(conn).await)
    }

    async fn write_count_from_now<D: Driver<C>, C>(&self, conn: &mut C) -> QueryResult<()> {
        ledger::count_from_now::<D, C>(conn, self.rows()).await?;
        commit::<D, C>(conn).await
    }

    /// Without autocommit, a read begins a transaction, whose locks would stay.
    pub(super) async fn end_read<D: Driver<C>, C>(&self, conn: &mut C, entries: &[Entry]) -> Result<(), Failed> {
        if entries.iter().all(Entry::has_autocommit) { Ok(()) } else { commit_again::<D, C>(conn).await }
    }
}

/// At most so many characters of it.
fn shortened(text: &str, chars: usize) -> &str {
    text.char_indices().nth(chars).map_or(text, |(end, _)| &text[..end])
}
