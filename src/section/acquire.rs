//! Acquiring the locks of a section, one by one.

use std::time::Duration;

use diesel::result::{DatabaseErrorKind, Error, QueryResult};
use log::warn;

use crate::{
    connection_id::ConnectionId,
    deadline::{Deadline, Timeout},
    driver::{
        Driver,
        error_number::error_number,
        retry::{ask_again, execute_again},
    },
    error::NamedLockError,
    idle_limit::IdleLimit,
    log_target::TARGET,
    name::LockName,
    statement::{
        acquire::{Answer, GetLock, GetLockOnMysql, GetLockOrAskOnce},
        release::{self, ReleaseLock},
        session_timeouts::{AskTimeouts, SetTimeouts, Timeouts},
        wait::Wait,
    },
};

use super::{
    Hold,
    ask::{holds_lock, who_holds},
    kill::kill_holder,
};

/// How the locks of a [`Hold`] are to be acquired.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request {
    pub(crate) deadline: Deadline,
    /// How long the server waits for the first lock: a whole number of seconds stays one, which MySQL waits for best.
    pub(crate) first_wait: Timeout,
    pub(crate) reentrant: bool,
    pub(crate) idle_limit: Option<IdleLimit>,
}

/// Refuses a connection on which a section can't begin, without I/O.
fn check<D: Driver<C>, C>(conn: &mut C, name: &LockName) -> Result<(), NamedLockError> {
    match D::depth(conn) {
        Ok(0) => Ok(()),
        Ok(depth) => Err(NamedLockError::OpenTransaction { name: name.clone(), depth }),
        Err(source) => Err(NamedLockError::Broken { name: name.clone(), source }),
    }
}

impl Hold {
    /// Acquires every lock, or none.
    ///
    /// # Errors
    ///
    /// Says why not. Then nothing is held, and the connection is sound, or [`Broken`](NamedLockError::Broken).
    pub(crate) async fn acquire<D: Driver<C>, C>(
        &mut self,
        conn: &mut C,
        request: &Request,
    ) -> Result<(), NamedLockError> {
        check::<D, C>(conn, self.names.first())?;
        let Err(error) = self.acquire_all::<D, C>(conn, request).await else { return Ok(()) };
        // Nothing was written under these locks: all that matters is whether the connection survived it.
        let was_in_doubt = self.in_doubt;
        let released = self.release::<D, C>(conn).await;
        // Behind a proxy, another session may hold what was acquired.
        let stays = match released {
            Err(NamedLockError::ConnectionSwapped { source, .. }) => was_in_doubt || source.is_some(),
            _ => false,
        };
        if stays && !self.killed {
            self.kill::<D, C>(conn).await;
        }
        if !self.killed {
            return Err(error);
        }
        warn!(target: TARGET, "killed a session that may have held {}: {error}", self.names);
        Err(broken(error))
    }

    async fn acquire_all<D: Driver<C>, C>(&mut self, conn: &mut C, request: &Request) -> Result<(), NamedLockError> {
        if let Some(limit) = request.idle_limit {
            self.shorten_timeouts::<D, C>(conn, limit).await?;
        }
        for index in self.held..self.names.as_slice().len() {
            if request.reentrant && self.is_held_before::<D, C>(conn, index).await? {
                self.borrowed.push(index);
            } else {
                let wait = if index == 0 { request.first_wait } else { request.deadline.remaining() };
                self.get_lock::<D, C>(conn, index, request.deadline, wait).await?;
            }
            self.held = index + 1;
            (self.in_doubt, self.was_free) = (false, false);
        }
        Ok(())
    }

    async fn shorten_timeouts<D: Driver<C>, C>(
        &mut self,
        conn: &mut C,
        limit: IdleLimit,
    ) -> Result<(), NamedLockError> {
        match limit_idle_time::<D, C>(conn, limit, &mut self.timeouts).await {
            Ok(()) => Ok(()),
            Err(source) => {
                D::mark_broken(conn);
                Err(NamedLockError::Broken { name: self.names.first().clone(), source })
            }
        }
    }

    /// Asked before the acquire, so that one that is interrupted leaves no doubt whose lock it is.
    async fn is_held_before<D: Driver<C>, C>(&mut self, conn: &mut C, index: usize) -> Result<bool, NamedLockError> {
        match who_holds::<D, C>(conn, self.name(index)).await {
            Ok(found) => {
                self.was_free = found.is_free();
                self.check_session::<D, C>(conn, index, found.asker).map(|()| found.is_asker())
            }
            Err(source) => {
                // No lock is in doubt, but the connection is.
                self.kill::<D, C>(conn).await;
                Err(NamedLockError::Broken { name: self.name(index).clone(), source })
            }
        }
    }

    async fn get_lock<D: Driver<C>, C>(
        &mut self,
        conn: &mut C,
        index: usize,
        deadline: Deadline,
        wait: Timeout,
    ) -> Result<(), NamedLockError> {
        self.in_doubt = true;
        let name = self.name(index).clone();
        match wait_for_lock::<D, C>(conn, &name, deadline, wait).await? {
            Answer::Granted(session) => {
                let checked = self.check_session::<D, C>(conn, index, session);
                if checked.is_err() {
                    // If that fails, the other session may end with this connection, which is marked.
                    let _ = kill_holder::<D, C>(conn, session, &name).await;
                }
                checked
            }
            Answer::Unclear => Err(NamedLockError::Interrupted { name, waited: deadline.elapsed(), source: None }),
            Answer::GrantedUnderPseudoId => Err(self.refuse_pseudo_id::<D, C>(conn, name, deadline).await),
            Answer::HeldBefore(session) => {
                self.in_doubt = false;
                Err(NamedLockError::AlreadyHeld { name, connection_id: Some(session) })
            }
            Answer::Busy => {
                self.in_doubt = false;
                Err(timed_out(name, deadline))
            }
        }
    }

    /// All locks are to be held by one session. A proxy may hand them out by the statement.
    fn check_session<D: Driver<C>, C>(
        &mut self,
        conn: &mut C,
        index: usize,
        session: ConnectionId,
    ) -> Result<(), NamedLockError> {
        if index > 0 && session != self.session {
            D::mark_broken(conn);
            let text = format!("the connection was session {}, and is now {session}: is there a proxy?", self.session);
            let source = Error::QueryBuilderError(text.into());
            return Err(NamedLockError::Broken { name: self.name(index).clone(), source });
        }
        self.session = session;
        Ok(())
    }

    /// Undoes the grant, once: the session may have held the lock before, and that stays so.
    async fn refuse_pseudo_id<D: Driver<C>, C>(
        &mut self,
        conn: &mut C,
        name: LockName,
        deadline: Deadline,
    ) -> NamedLockError {
        let found = match who_holds::<D, C>(conn, &name).await {
            Ok(found) => found,
            Err(source) => {
                return NamedLockError::Interrupted { name, waited: deadline.elapsed(), source: Some(source) };
            }
        };
        let seen_as = found.holder.unwrap_or(found.asker);
        let release = ReleaseLock { name: &name, session: found.asker.get(), seen_as };
        let source = match D::ask(conn, &release).await {
            Ok(release::Answer::Released | release::Answer::HeldAgain) => {
                self.in_doubt = false;
                let (connection_id, pseudo_thread_id) = (seen_as, found.asker);
                return NamedLockError::PseudoThreadId { name, connection_id, pseudo_thread_id };
            }
            Ok(release::Answer::NotHeld | release::Answer::OtherSession) => None,
            Err(source) => Some(source),
        };
        NamedLockError::Interrupted { name, waited: deadline.elapsed(), source }
    }

    async fn is_holder<D: Driver<C>, C>(&self, conn: &mut C, name: &LockName) -> bool {
        who_holds::<D, C>(conn, name).await.is_ok_and(|found| found.holder == Some(self.session))
    }

    /// After an acquire with no clear answer: the lock may be held all the same.
    ///
    /// Release it if it was seen to be free before. Otherwise don't: it may belong to an outer section, which would then continue without its lock. Killing the session is
    /// safe for both.
    pub(super) async fn settle<D: Driver<C>, C>(&mut self, conn: &mut C) {
        let name = self.name(self.held);
        match holds_lock::<D, C>(conn, name).await {
            Ok(false) => {}
            Ok(true) if self.was_free && self.is_holder::<D, C>(conn, name).await => self.held += 1,
            _ => self.kill::<D, C>(conn).await,
        }
        self.in_doubt = false;
    }
}

/// Shortens the session's timeouts, and keeps what they were before in `before`.
pub(crate) async fn limit_idle_time<D: Driver<C>, C>(
    conn: &mut C,
    limit: IdleLimit,
    before: &mut Option<Timeouts>,
) -> QueryResult<()> {
    let timeouts = ask_again::<D, C, _>(conn, &AskTimeouts).await?;
    *before = Some(timeouts);
    execute_again::<D, C, _>(conn, SetTimeouts(timeouts.at_most(limit.seconds()))).await
}

/// Waits in the server's queue.
///
/// # Errors
///
/// Says why there was no answer. **The lock may be held all the same.**
async fn wait_for_lock<D: Driver<C>, C>(
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
        Err(error) => Err(explain(name, deadline, error_number::<D, C>(conn, &error).await, error)),
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

const MYSQL_TIME_LIMIT: i32 = 3024;

/// Why the server refused, by the number of its error; `None` is one that can't be asked for any more, or that the session keeps
/// no record of (`max_error_count = 0`).
fn explain(name: &LockName, deadline: Deadline, number: Option<i32>, source: Error) -> NamedLockError {
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

fn timed_out(name: LockName, deadline: Deadline) -> NamedLockError {
    NamedLockError::Timeout {
        name,
        waited: deadline.elapsed(),
        in_queue: Duration::ZERO,
        in_checkout: Duration::ZERO,
        holder: None,
    }
}

/// What an error is if the connection did not survive it.
fn broken(error: NamedLockError) -> NamedLockError {
    match error {
        NamedLockError::Deadlock { name, source } | NamedLockError::Interrupted { name, source, .. } => {
            NamedLockError::Broken { name, source: source.unwrap_or(Error::BrokenTransactionManager) }
        }
        NamedLockError::Timeout { name, .. } => {
            NamedLockError::Broken { name, source: Error::BrokenTransactionManager }
        }
        NamedLockError::Refused { name, source } => NamedLockError::Broken { name, source },
        NamedLockError::AlreadyHeld { name, .. } | NamedLockError::PseudoThreadId { name, .. } => {
            NamedLockError::Broken { name, source: Error::BrokenTransactionManager }
        }
        other => other,
    }
}
