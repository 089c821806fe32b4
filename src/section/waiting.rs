//! Waiting in the server's queue, and why a wait ended without the lock.

use std::time::Duration;

use diesel::result::{DatabaseErrorKind, Error};

use crate::{
    deadline::{Deadline, Timeout},
    driver::{Driver, error_number::error_number},
    error::NamedLockError,
    name::LockName,
    statement::{
        acquire::{Answer, GetLock, GetLockOnMysql, GetLockOrAskOnce},
        wait::Wait,
    },
};

use super::ask::holds_lock;

/// Waits in the server's queue.
///
/// # Errors
///
/// Returns why there was no answer. **The lock may be held nevertheless.**
pub(super) async fn wait_for_lock<D: Driver<C>, C>(
    conn: &mut C,
    name: &LockName,
    deadline: Deadline,
    wait: Timeout,
) -> Result<Answer, NamedLockError> {
    match Wait::from(wait) {
        Wait::Seconds(seconds) => match D::ask(conn, &GetLock { name, seconds }).await {
            Ok(answer) => Ok(answer),
            Err(error) => match error_number::<D, C>(conn, &error).await {
                Some(MYSQL_TIME_LIMIT) if deadline.waits() => {
                    wait_beyond_limit::<D, C>(conn, name, deadline, error).await
                }
                number => Err(explain(name, deadline, number, error)),
            },
        },
        Wait::Millis(millis) => wait_for_millis::<D, C>(conn, name, deadline, millis).await,
    }
}

/// MySQL asks once first, so that a free lock costs it one round trip, too.
async fn wait_for_millis<D: Driver<C>, C>(
    conn: &mut C,
    name: &LockName,
    deadline: Deadline,
    millis: u32,
) -> Result<Answer, NamedLockError> {
    let question = GetLockOrAskOnce { name, seconds: f64::from(millis) / 1000.0 };
    match D::ask(conn, &question).await {
        Ok((Answer::Busy, false)) => wait_by_hint::<D, C>(conn, name, deadline).await,
        Ok((answer, _)) => Ok(answer),
        Err(error) => Err(explain_failed::<D, C>(conn, name, deadline, error).await),
    }
}

/// The session's `max_execution_time` has ended the wait. A hint on each acquire would prevent that, but costs a section 4–5 %.
async fn wait_beyond_limit<D: Driver<C>, C>(
    conn: &mut C,
    name: &LockName,
    deadline: Deadline,
    limited: Error,
) -> Result<Answer, NamedLockError> {
    // The grant may have come at that very moment.
    match holds_lock::<D, C>(conn, name).await {
        Ok(false) => wait_by_hint::<D, C>(conn, name, deadline).await,
        _ => Err(explain(name, deadline, Some(MYSQL_TIME_LIMIT), limited)),
    }
}

/// Waits on MySQL for as long as remains, by a time limit that overrides the session's.
async fn wait_by_hint<D: Driver<C>, C>(
    conn: &mut C,
    name: &LockName,
    deadline: Deadline,
) -> Result<Answer, NamedLockError> {
    let millis = match deadline.remaining() {
        Timeout::After(time) => u32::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(u32::MAX),
        Timeout::Never => u32::MAX,
    };
    if millis == 0 {
        return Ok(Answer::Busy);
    }
    match D::ask(conn, &GetLockOnMysql { name, millis }).await {
        Ok(answer) => Ok(answer),
        Err(error) => match error_number::<D, C>(conn, &error).await {
            // This statement's own limit. No answer: the lock is in doubt. The longest limit is no timeout, but 49 days.
            Some(MYSQL_TIME_LIMIT) if millis < u32::MAX => Err(timed_out(name.clone(), deadline)),
            None if deadline.has_passed() => Err(timed_out(name.clone(), deadline)),
            number => Err(explain(name, deadline, number, error)),
        },
    }
}

/// Asks for the server's error number, and explains the error by it.
pub(super) async fn explain_failed<D: Driver<C>, C>(
    conn: &mut C,
    name: &LockName,
    deadline: Deadline,
    error: Error,
) -> NamedLockError {
    explain(name, deadline, error_number::<D, C>(conn, &error).await, error)
}

pub(super) const MYSQL_TIME_LIMIT: i32 = 3024;

/// Returns the reason for a refusal by the server's error number. The number is `None` if it can no longer be asked for, or if the
/// session keeps no record of errors (`max_error_count = 0`).
pub(super) fn explain(name: &LockName, deadline: Deadline, number: Option<i32>, source: Error) -> NamedLockError {
    let name = name.clone();
    let is_deadlock = matches!(source, Error::DatabaseError(DatabaseErrorKind::SerializationFailure, _));
    match number {
        Some(1213 | 3058) => NamedLockError::Deadlock { name, source: Some(source) },
        _ if is_deadlock => NamedLockError::Deadlock { name, source: Some(source) },
        Some(1317 | 1969 | MYSQL_TIME_LIMIT) | None => {
            NamedLockError::Interrupted { name, waited: deadline.elapsed(), source: Some(source) }
        }
        Some(_) => NamedLockError::Refused { name, source },
    }
}

pub(super) fn timed_out(name: LockName, deadline: Deadline) -> NamedLockError {
    NamedLockError::Timeout {
        name,
        waited: deadline.elapsed(),
        in_queue: Duration::ZERO,
        in_checkout: Duration::ZERO,
        holder: None,
    }
}
