//! Asking again, decided by the server's error number: for statements whose failure may last, or may take long.

use std::thread;

use diesel::result::{Error, QueryResult};

use crate::driver::{
    blocking::{Blocking, ready},
    error_number::error_number,
    retry::pauses,
    status::{self, NamedLockConnection},
};

/// A statement that failed for good.
#[derive(Debug)]
pub(crate) struct Failed {
    /// The server's number of the last failure, if it could be asked for.
    number: Option<i32>,
    pub(crate) error: Error,
}

impl Failed {
    /// Whether there is no database, no such table, or no right to use it. Without any right on a table, a server does not
    /// tell whether it exists.
    pub(crate) fn is_no_table(&self) -> bool {
        matches!(self.number, Some(1046 | 1142 | 1146))
    }
}

/// After which failures a statement is asked again.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Unless {
    /// `KILL QUERY` struck the statement, and the transaction around it goes on.
    Struck,
    /// The same, or the number could not be asked for: it was struck, too, or the connection is gone.
    Interrupted,
    /// The same, or the server rolled back the transaction: a deadlock, or (1020) a row that is newer than the
    /// transaction's snapshot. Only for a statement that is alone in its transaction.
    Undone,
}

impl Unless {
    fn may_repeat(self, number: Option<i32>) -> bool {
        match self {
            Self::Struck => matches!(number, Some(1317)),
            Self::Interrupted => matches!(number, Some(1317) | None),
            Self::Undone => matches!(number, Some(1020 | 1213 | 1317) | None),
        }
    }
}

/// Asks until there is an answer, or a failure that asking again can't mend.
///
/// Unlike [`retry`](crate::driver::retry::retry), which repeats after any failure: a wait for a row that was given up after
/// `innodb_lock_wait_timeout` is not begun again.
///
/// # Errors
///
/// A failure that can't be mended; otherwise the first one, if no attempt is answered.
pub(crate) fn ask<C: NamedLockConnection, T>(
    conn: &mut C,
    unless: Unless,
    mut statement: impl FnMut(&mut C) -> QueryResult<T>,
) -> Result<T, Failed> {
    let (mut first, mut pauses) = (None, pauses());
    loop {
        let error = match status::forgetting_failures(conn, &mut statement) {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let number = ready(error_number::<Blocking, C>(conn));
        if !unless.may_repeat(number) {
            return Err(Failed { number, error });
        }
        let first = first.get_or_insert(error);
        match pauses.next() {
            Some(pause) => thread::sleep(pause),
            None => return Err(Failed { number, error: std::mem::replace(first, Error::NotFound) }),
        }
    }
}
