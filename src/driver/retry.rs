//! Asking again what `KILL QUERY` has struck.

use std::{thread, time::Duration};

use diesel::result::QueryResult;

use super::status::{NamedLockConnection, forget_statements};

/// The pauses between the attempts at one statement: 20 attempts within some 20 ms.
///
/// `KILL QUERY` may strike several statements in a row, and attempts without a pause are over within 3 ms. A connection
/// that is gone fails without I/O.
pub(crate) fn pauses() -> impl Iterator<Item = Duration> {
    const ATTEMPTS: u32 = 20;
    const AT_ONCE: u32 = 3;
    const STEP: Duration = Duration::from_micros(150);

    (1..ATTEMPTS).map(|failed| STEP * failed.saturating_sub(AT_ONCE))
}

/// Asks until there is an answer. Only for what may be asked twice.
///
/// # Errors
///
/// The first one, if no attempt is answered.
pub(crate) fn retry<C: NamedLockConnection, T>(
    conn: &mut C,
    mut ask: impl FnMut(&mut C) -> QueryResult<T>,
) -> QueryResult<T> {
    let mut ask = || ask(conn).inspect_err(|_| forget_statements(conn));
    let first = match ask() {
        Err(error) => error,
        answer => return answer,
    };
    for pause in pauses() {
        thread::sleep(pause);
        if let Ok(answer) = ask() {
            return Ok(answer);
        }
    }
    Err(first)
}
