//! The session: kept from being idle, and watched.

use std::{
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::Duration,
};

use diesel::{prelude::*, sql_query};

const EVERY: Duration = Duration::from_secs(1);

/// Lends the connection to a thread that asks every second whether its session lives, while `work` goes on without it.
/// Calls `lost` if it does not.
///
/// On a network that goes silent, that thread waits for an answer. The work does not: signals still reach the command.
pub fn during<T>(
    conn: &mut MysqlConnection,
    lost: impl FnOnce(diesel::result::Error) + Send,
    work: impl FnOnce() -> T,
) -> T {
    let (work_goes_on, ended) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(move || watch(conn, &ended).unwrap_or_else(lost));
        let _work_goes_on = work_goes_on;
        work()
    })
}

fn watch(conn: &mut MysqlConnection, ended: &Receiver<()>) -> QueryResult<()> {
    while ended.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
        let mut ask = || sql_query("DO 1").execute(conn);
        // Twice: a `KILL QUERY` ends the statement, not the session.
        ask().or_else(|_| ask())?;
    }
    Ok(())
}
