//! What is read from the ledger and written to it, and that it is committed.
//!
//! Whatever raw SQL has begun before, or does in the work, and also if autocommit is off: the start is committed before the
//! work begins, the end before the lock is released.

use std::thread;

use diesel::result::{Error, QueryResult};

use crate::{
    driver::{
        retry::pauses,
        status::{self, NamedLockConnection},
    },
    name::LockName,
    statement::{
        ask_again::{Failed, Unless, ask},
        ledger::{self, Entry, Rows, Start},
        transaction::{commit, roll_back},
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
    pub(super) fn read<C: NamedLockConnection>(&self, conn: &mut C) -> Result<Vec<Entry>, Failed> {
        ask(conn, Unless::Interrupted, |conn| ledger::read(conn, self.rows()))
    }

    /// As it is now: commits first what raw SQL has begun.
    pub(super) fn read_current<C: NamedLockConnection>(&self, conn: &mut C) -> Result<Vec<Entry>, Failed> {
        ask(conn, Unless::Interrupted, commit)?;
        self.read(conn)
    }

    /// Writes that a run begins, the next one after those that were read.
    pub(super) fn start<C: NamedLockConnection>(&self, conn: &mut C, entries: &[Entry]) -> Result<(), Failed> {
        let next = |for_key| {
            entries.iter().find(|entry| entry.is_for_key() == for_key).map_or(1, |entry| entry.runs.saturating_add(1))
        };
        let host = gethostname::gethostname().to_string_lossy().into_owned();
        let host = shortened(&host, HOST_CHARS).as_bytes();
        let start = Start { host, process_id: std::process::id(), runs: next(false), runs_of_key: next(true) };
        ask(conn, Unless::Undone, |conn| {
            ledger::write_start(conn, self.rows(), start)?;
            commit(conn)
        })
    }

    /// Writes that this session's run succeeded, and commits it together with what the work has left uncommitted by raw SQL:
    /// both or neither. `NotFound` if the last run that the ledger knows is not of this session.
    pub(super) fn succeed<C: NamedLockConnection>(&self, conn: &mut C) -> QueryResult<()> {
        // Not again if the server rolled back the transaction: what the work wrote would be missing.
        let written = ask(conn, Unless::Interrupted, |conn| self.write_end(conn, None));
        if written.map_err(|failed| failed.error)? == 0 {
            return Err(Error::NotFound);
        }
        let Err(first) = commit(conn).inspect_err(|_| status::forget_statements(conn)) else { return Ok(()) };
        // The second attempt has nothing to commit if the first one was a success after all, or a rollback: on MariaDB, a
        // commit that waits for a backup and is killed.
        let again = ask(conn, Unless::Interrupted, commit).and_then(|()| self.read(conn));
        let ended = |entries: Vec<Entry>| {
            entries.iter().any(|entry| !entry.is_for_key() && entry.is_own() && entry.ended.is_some())
        };
        if again.is_ok_and(ended) { Ok(()) } else { Err(first) }
    }

    /// Rolls back what the work has left uncommitted by raw SQL, and writes that this session's run failed. `NotFound` as for
    /// [`succeed`](Self::succeed); then nothing is rolled back, since this may be another session, which the work swapped in.
    pub(super) fn fail<C: NamedLockConnection>(&self, conn: &mut C, error: &str) -> QueryResult<()> {
        // MariaDB may take an empty text for NULL, and NULL is a success.
        let error = if error.is_empty() { "an error without a text" } else { shortened(error, ERROR_CHARS) };
        let entries = self.read(conn).map_err(|failed| failed.error)?;
        if !entries.iter().any(Entry::is_own) {
            return Err(Error::NotFound);
        }
        let written = ask(conn, Unless::Undone, |conn| {
            roll_back(conn)?;
            let written = self.write_end(conn, Some(error.as_bytes()))?;
            commit(conn).map(|()| written)
        });
        match written.map_err(|failed| failed.error)? {
            0 => Err(Error::NotFound),
            _ => Ok(()),
        }
    }

    /// Writes to how many rows? MariaDB 11.8 may answer an `UPDATE` that `KILL QUERY` strikes without an error: no row was found.
    /// So it is asked again as long as the row is there.
    fn write_end<C: NamedLockConnection>(&self, conn: &mut C, error: Option<&[u8]>) -> QueryResult<usize> {
        for pause in pauses() {
            let written = ledger::write_end(conn, self.rows(), error)?;
            if written > 0 || !ledger::read(conn, self.rows())?.iter().any(Entry::is_own) {
                return Ok(written);
            }
            thread::sleep(pause);
        }
        Ok(0)
    }

    /// After the clock was set back: runs that seem to begin in the future count from now on.
    pub(super) fn count_from_now<C: NamedLockConnection>(&self, conn: &mut C) -> Result<(), Failed> {
        ask(conn, Unless::Undone, |conn| {
            ledger::count_from_now(conn, self.rows())?;
            commit(conn)
        })
    }

    /// Without autocommit, a read begins a transaction, whose locks would stay.
    pub(super) fn end_read<C: NamedLockConnection>(&self, conn: &mut C, entries: &[Entry]) -> Result<(), Failed> {
        if entries.iter().all(Entry::has_autocommit) { Ok(()) } else { ask(conn, Unless::Interrupted, commit) }
    }
}

/// At most so many characters of it.
fn shortened(text: &str, chars: usize) -> &str {
    text.char_indices().nth(chars).map_or(text, |(end, _)| &text[..end])
}
