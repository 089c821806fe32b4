//! Asking again, decided by the server's error number: for statements whose failure may last, or may take long.

use std::{mem, time::Duration};

use diesel::result::Error;

use crate::driver::{Driver, error_number::error_number, out_of_step::OutOfStep, retry::pauses};

/// A statement that failed for good.
#[derive(Debug)]
pub(crate) struct Failed {
    /// The server's number of the last failure, if it could be asked for.
    pub(crate) number: Option<i32>,
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
    /// `KILL QUERY` struck the statement, and the transaction around it continues.
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

/// The attempts of [`again`].
pub(crate) struct Attempts<P> {
    unless: Unless,
    first: Option<Error>,
    pauses: P,
}

impl Attempts<()> {
    pub(crate) fn new(unless: Unless) -> Attempts<impl Iterator<Item = Duration>> {
        Attempts { unless, first: None, pauses: pauses() }
    }
}

impl<P: Iterator<Item = Duration>> Attempts<P> {
    /// To be called right after a failure. Pauses before the next attempt.
    ///
    /// # Errors
    ///
    /// Returns a failure that asking again can't mend; otherwise the first one if this was the last attempt.
    pub(crate) async fn failed<D: Driver<C>, C>(&mut self, conn: &mut C, error: Error) -> Result<(), Failed> {
        if OutOfStep::is(&error) {
            return Err(Failed { number: None, error });
        }
        let number = error_number::<D, C>(conn, &error).await;
        if !self.unless.may_repeat(number) {
            return Err(Failed { number, error });
        }
        let first = self.first.get_or_insert(error);
        let Some(pause) = self.pauses.next() else {
            return Err(Failed { number, error: mem::replace(first, Error::NotFound) });
        };
        D::pause(pause).await;
        Ok(())
    }
}

/// Asks until there is an answer, or a failure that asking again can't mend, which is a [`Failed`].
///
/// Unlike [`ask_again`](crate::driver::retry::ask_again), which repeats after any failure: a wait for a row that was given up after
/// `innodb_lock_wait_timeout` is not begun again.
///
/// No function: its closure would make the futures of async callers not `Send`.
macro_rules! again {
    ($driver:ident, $conn:expr, $unless:expr, $attempt:expr) => {{
        let mut attempts = $crate::statement::ask_again::Attempts::new($unless);
        loop {
            match $attempt {
                Ok(answer) => break Ok(answer),
                Err(error) => {
                    if let Err(failed) = attempts.failed::<$driver, _>($conn, error).await {
                        break Err(failed);
                    }
                }
            }
        }
    }};
}
pub(crate) use again;
