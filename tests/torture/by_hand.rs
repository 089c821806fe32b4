//! Locking by hand, right as long as nobody kills anything; and as it goes wrong in applications, for the checker to find.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    thread,
    time::{Duration, Instant},
};

use diesel::{
    Connection,
    connection::{AnsiTransactionManager, SimpleConnection, TransactionManager},
    prelude::*,
    result::QueryResult,
    sql_query,
    sql_types::{BigInt, Nullable, Text},
};

use crate::{
    history::Outcome,
    locking::{Conn, Locking, Order, Verdict, Work, WorkError, of_work},
    semaphore,
    subject::Subject,
};

/// On MariaDB 10.5, `KILL QUERY` strikes no statement that does not wait: so one that is to be struck waits.
const PAUSE: &str = ", SLEEP(0.0005)";

#[derive(QueryableByName)]
struct Answer {
    #[diesel(sql_type = Nullable<BigInt>)]
    answer: Option<i64>,
}

pub fn section(locking: Locking, conn: &mut Conn, order: &Order, work: &mut Work<'_>) -> Verdict {
    if depth(conn) > 0 {
        return Verdict { outcome: Outcome::OpenTransaction, alone: false };
    }
    let names = match acquire(locking, conn, order) {
        Ok(names) => names,
        Err(outcome) => return Verdict { outcome, alone: false },
    };
    let mut held = None;
    let value = catch_unwind(AssertUnwindSafe(|| match (order.transaction, locking) {
        (false, _) => work(conn),
        (true, Locking::ReleasedBeforeCommit) => conn.transaction(|conn| {
            let value = work(conn);
            held = Some(release(locking, conn, &names));
            // As a hand-written application has it, which does some more between the two.
            thread::sleep(Duration::from_micros(500));
            value
        }),
        (true, _) => conn.transaction(work),
    }));
    let left_open = roll_back(conn);
    let held = held.unwrap_or_else(|| locking == Locking::ReleaseSkipped || release(locking, conn, &names));
    match value.unwrap_or_else(|panic| resume_unwind(panic)) {
        Ok(()) if left_open => Verdict { outcome: Outcome::LeftOpen, alone: false },
        value => told(value, held),
    }
}

fn told(value: Result<(), WorkError>, held: bool) -> Verdict {
    match value {
        Ok(()) if held => Verdict { outcome: Outcome::Ok, alone: true },
        Ok(()) => Verdict { outcome: Outcome::Lost, alone: false },
        Err(error) => Verdict { outcome: of_work(&error), alone: held },
    }
}

/// What is held then.
fn acquire(locking: Locking, conn: &mut Conn, order: &Order) -> Result<Vec<String>, Outcome> {
    let timeout = order.timeout.unwrap_or(Duration::from_secs(60));
    let Subject::Locks(names) = &order.subject else {
        return semaphore::acquire(locking, conn, &order.subject, timeout);
    };
    let mut names: Vec<_> = names.iter().map(ToString::to_string).collect();
    names.sort_unstable();
    acquire_all(locking, conn, &names, timeout).map(|()| names)
}

pub fn acquire_all(locking: Locking, conn: &mut Conn, names: &[String], timeout: Duration) -> Result<(), Outcome> {
    let start = Instant::now();
    for (index, name) in names.iter().enumerate() {
        if get_lock(locking, conn, name, timeout.saturating_sub(start.elapsed())) {
            continue;
        }
        release(locking, conn, &names[..index]);
        // If nothing is killed, an early error is a deadlock.
        return Err(if start.elapsed() < timeout { Outcome::Deadlock } else { Outcome::Timeout });
    }
    Ok(())
}

/// Whether it is held then.
pub fn get_lock(locking: Locking, conn: &mut Conn, name: &str, timeout: Duration) -> bool {
    let answer = ask_for_lock(locking, conn, name, timeout);
    let is_held = matches!(answer, Ok(Some(1))) || locking == Locking::AnswersIgnored;
    // An error says nothing of whether it is.
    if !is_held && !matches!(answer, Ok(Some(0))) && locking != Locking::ErrorsTakenForNotHeld {
        release(locking, conn, &[name]);
    }
    is_held
}

/// MySQL rounds the timeout, but keeps to the hint. MariaDB takes the hint for a comment, and reads what is in `/*M! */`.
fn ask_for_lock(locking: Locking, conn: &mut Conn, name: &str, timeout: Duration) -> QueryResult<Option<i64>> {
    let millis = timeout.as_micros().div_ceil(1_000);
    let (seconds, longer) = (millis as f64 / 1_000.0, if millis == 0 { 0 } else { millis / 1_000 + 1 });
    let pause = if locking == Locking::ErrorsTakenForNotHeld { PAUSE } else { "" };
    // No time limit is what a limit of 0 means.
    let query = format!(
        "SELECT /*+ MAX_EXECUTION_TIME({millis}) */ GET_LOCK(?, /*M! {seconds} + 0 * */ {longer}) AS answer{pause}"
    );
    Ok(sql_query(query).bind::<Text, _>(name).get_result::<Answer>(conn)?.answer)
}

/// Whether all were held. Here, too, an error says nothing.
pub fn release(locking: Locking, conn: &mut Conn, names: &[impl AsRef<str>]) -> bool {
    let mut held = true;
    for name in names.iter().rev() {
        let pause = if locking == Locking::KilledWhenStruck { PAUSE } else { "" };
        let query = sql_query(format!("SELECT RELEASE_LOCK(?) AS answer{pause}")).bind::<Text, _>(name.as_ref());
        let answer = query.get_result::<Answer>(conn).map(|row| row.answer);
        if answer.is_err() && locking == Locking::KilledWhenStruck {
            let _ = conn.batch_execute("KILL CONNECTION_ID()");
        }
        held &= locking == Locking::AnswersIgnored || !matches!(answer, Ok(Some(0) | None));
    }
    held
}

fn depth(conn: &mut Conn) -> u32 {
    let status = AnsiTransactionManager::transaction_manager_status_mut(&mut **conn);
    status.transaction_depth().ok().flatten().map_or(0, Into::into)
}

/// Whether there was something to roll back.
fn roll_back(conn: &mut Conn) -> bool {
    let left_open = depth(conn) > 0;
    while depth(conn) > 0 && AnsiTransactionManager::rollback_transaction(&mut **conn).is_ok() {}
    left_open
}
