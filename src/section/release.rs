//! Releasing the locks of a section, and finding out whether they were held to the end.

use diesel::{
    expression::QueryMetadata,
    mysql::Mysql,
    result::{Error, QueryResult},
};
use log::warn;

use crate::{
    connection_id::ConnectionId,
    driver::{Driver, out_of_step::OutOfStep, retry::ask_again},
    error::NamedLockError,
    log_target::TARGET,
    name::LockName,
    statement::{
        Statement,
        release::{Answer, ReleaseLock},
    },
};

use super::{
    Hold,
    ask::{roll_back_plainly, who_am_i, who_holds},
    idle_limit::{give_up_session, restore_timeouts},
    kill::kill_holder,
};

impl Hold {
    /// Rolls back what the closure left open, then releases every lock, last first. May be called again after it panicked.
    ///
    /// # Errors
    ///
    /// Returns what was lost: a lock or a transaction. In any case, nothing is held, or the session was killed.
    pub(crate) async fn release<D: Driver<C>, C>(&mut self, conn: &mut C) -> Result<(), NamedLockError> {
        if self.in_doubt {
            self.settle::<D, C>(conn).await;
        }
        let (rolled_back, other) = match self.roll_back::<D, C>(conn).await {
            Ok(other) => (Ok(()), other),
            Err(error) => (Err(error), None),
        };
        let mut released = Ok(());
        while let Some(last) = self.held.checked_sub(1) {
            let this = match other {
                Some(other) => Err(self.explain_swap::<D, C>(conn, last, other).await),
                None if last > 0 && self.borrowed.is_empty() && !self.killed => {
                    self.release_several::<D, C>(conn).await
                }
                None => self.release_one::<D, C>(conn, last).await,
            };
            self.held = self.held.min(last);
            released = released.and(this);
        }
        match (rolled_back, released) {
            (Err(left_open @ NamedLockError::TransactionLeftOpen { .. }), Err(lost)) => {
                let connection = self.session.get();
                warn!(target: TARGET, connection; "{left_open} (connection {connection})");
                Err(lost)
            }
            (rolled_back, released) => rolled_back.and(released),
        }
    }

    /// Rolls back before the release, because afterwards the next holder could read what is not yet undone. If the closure put another
    /// connection in place of this one, returns its session: the transaction of that one must not be rolled back here.
    async fn roll_back<D: Driver<C>, C>(&mut self, conn: &mut C) -> Result<Option<ConnectionId>, NamedLockError> {
        let depth = D::depth(conn);
        if self.killed || self.held == 0 || matches!(depth, Ok(0)) {
            return Ok(None);
        }
        let rolled_back = match self.other_session::<D, C>(conn).await {
            Ok(None) => roll_back_all::<D, C>(conn).await,
            Ok(other) => return Ok(other),
            Err(source) => Err(source),
        };
        match rolled_back {
            Ok(()) => Err(NamedLockError::TransactionLeftOpen { name: self.names.first().clone(), depth: depth.ok() }),
            Err(source) => {
                self.kill::<D, C>(conn).await;
                Err(self.lost(0, Some(source)))
            }
        }
    }

    pub(super) async fn release_one<D: Driver<C>, C>(
        &mut self,
        conn: &mut C,
        index: usize,
    ) -> Result<(), NamedLockError> {
        if !self.killed && self.borrowed.contains(&index) {
            return self.check_outer_hold::<D, C>(conn, index).await;
        }
        self.release_held::<D, C>(conn, index, false).await
    }

    /// `was_released`: once already, and the lock was held still.
    pub(super) async fn release_held<D: Driver<C>, C>(
        &mut self,
        conn: &mut C,
        index: usize,
        was_released: bool,
    ) -> Result<(), NamedLockError> {
        if self.killed {
            return Err(self.lost(index, None));
        }
        let (answer, struck) = self.send_release::<D, C>(conn, index, self.session, was_released).await;
        match answer {
            Ok(Answer::Released) => Ok(()),
            Ok(Answer::NotHeld) => Err(self.lost(index, struck)),
            Ok(Answer::OtherSession) => self.release_elsewhere::<D, C>(conn, index).await,
            unclear => {
                self.kill::<D, C>(conn).await;
                Err(self.lost(index, unclear.err()))
            }
        }
    }

    /// Releases the lock as often as it is held. If `KILL QUERY` strikes and the lock is still held, then it was held all the time.
    /// The second value is the error of the first attempt.
    async fn send_release<D: Driver<C>, C>(
        &self,
        conn: &mut C,
        index: usize,
        asker: ConnectionId,
        mut was_released: bool,
    ) -> (QueryResult<Answer>, Option<Error>) {
        let release = ReleaseLock { name: self.name(index), session: asker.get(), seen_as: self.session };
        let (mut answer, struck) = ask_to_release::<D, C, _>(conn, &release).await;
        while let Ok(Answer::HeldAgain) = answer {
            was_released = true;
            answer = ask_again::<D, C, _>(conn, &release).await;
        }
        match answer {
            // The release that was struck may have been the last.
            Ok(Answer::NotHeld) if was_released => (Ok(Answer::Released), struck),
            Err(error) => (Err(struck.unwrap_or(error)), None),
            answer => (answer, struck),
        }
    }

    /// The session has another id: the closure has set its `pseudo_thread_id`, or swapped the connection.
    async fn release_elsewhere<D: Driver<C>, C>(&mut self, conn: &mut C, index: usize) -> Result<(), NamedLockError> {
        let found = match self.other_session::<D, C>(conn).await {
            Ok(Some(other)) => return Err(self.explain_swap::<D, C>(conn, index, other).await),
            Ok(None) => {
                self.has_pseudo_id = true;
                who_holds::<D, C>(conn, self.name(index)).await
            }
            Err(source) => Err(source),
        };
        let released = match found {
            Ok(found) => self.send_release::<D, C>(conn, index, found.asker, false).await.0,
            Err(source) => Err(source),
        };
        match released {
            Ok(Answer::Released) => Ok(()),
            Ok(Answer::NotHeld) => Err(self.lost(index, None)),
            unclear => {
                self.kill::<D, C>(conn).await;
                Err(self.lost(index, unclear.err()))
            }
        }
    }

    /// Checks that the outer section, which continues to hold the lock, has held it until now.
    async fn check_outer_hold<D: Driver<C>, C>(&self, conn: &mut C, index: usize) -> Result<(), NamedLockError> {
        let found = match who_holds::<D, C>(conn, self.name(index)).await {
            Ok(found) => found,
            Err(source) => return Err(self.lost(index, Some(source))),
        };
        let is_this_session =
            found.asker == self.session || who_am_i::<D, C>(conn).await.is_ok_and(|session| session == self.session);
        match found.holder == Some(self.session) {
            _ if !is_this_session => Err(self.swapped(index, found.asker, Ok(false))),
            true => Ok(()),
            false => Err(self.lost(index, None)),
        }
    }

    /// Returns `None` if the connection is still the one that acquired the locks. Otherwise, returns its session.
    async fn other_session<D: Driver<C>, C>(&self, conn: &mut C) -> QueryResult<Option<ConnectionId>> {
        let asker = who_holds::<D, C>(conn, self.names.first()).await?.asker;
        let is_this = asker == self.session || who_am_i::<D, C>(conn).await? == self.session;
        Ok((!is_this).then_some(asker))
    }

    /// Kills the session that the closure has swapped out, if it still holds the lock, and not for an outer section.
    async fn explain_swap<D: Driver<C>, C>(&self, conn: &mut C, index: usize, other: ConnectionId) -> NamedLockError {
        let killed = match self.borrowed.contains(&index) {
            true => Ok(false),
            false => kill_holder::<D, C>(conn, self.session, self.name(index)).await,
        };
        if killed.is_err() {
            // Behind a proxy, the other session may end with this connection.
            D::mark_broken(conn);
        }
        self.swapped(index, other, killed)
    }

    fn swapped(&self, index: usize, found: ConnectionId, killed: QueryResult<bool>) -> NamedLockError {
        let name: LockName = self.name(index).clone();
        let (ended, source) = match killed {
            Ok(killed) => (killed, None),
            Err(source) => (false, Some(source)),
        };
        NamedLockError::ConnectionSwapped { name, expected: self.session, found, ended, source }
    }

    /// Restores the timeouts that an idle limit has shortened.
    pub(crate) async fn restore_timeouts<D: Driver<C>, C>(&mut self, conn: &mut C) {
        match self.timeouts {
            Some(before) if !self.killed && !self.has_pseudo_id => restore_timeouts::<D, C>(conn, before).await,
            // With a pseudo id, the statement would not change this session's timeouts, because it looks at `CONNECTION_ID()`.
            Some(_) if !self.killed => give_up_session::<D, C>(conn).await,
            _ => {}
        }
        self.timeouts = None;
    }
}

/// The second value is the error of the first attempt, if there was another attempt.
pub(super) async fn ask_to_release<D: Driver<C>, C, S: Statement>(
    conn: &mut C,
    release: &S,
) -> (QueryResult<S::Answer>, Option<Error>)
where
    Mysql: QueryMetadata<S::SqlType>,
{
    match D::ask(conn, release).await {
        Err(error) if OutOfStep::is(&error) => (Err(error), None),
        Err(error) => (ask_again::<D, C, _>(conn, release).await, Some(error)),
        answer => (answer, None),
    }
}

/// Rolls back whatever is open, through Diesel, as long as the depth falls.
async fn roll_back_all<D: Driver<C>, C>(conn: &mut C) -> QueryResult<()> {
    loop {
        // In error, because a `ROLLBACK` in the closure failed: Diesel sends no other, and the mark stays.
        let Ok(depth) = D::depth(conn) else { return roll_back_plainly::<D, C>(conn).await };
        if depth == 0 {
            return Ok(());
        }
        let Err(error) = D::roll_back_innermost(conn).await else { continue };
        // A savepoint that is gone, as after DDL, falls away.
        if !D::depth(conn).is_ok_and(|left| left < depth) {
            // Diesel does not try its `ROLLBACK` again.
            roll_back_plainly::<D, C>(conn).await.map_err(|_| error)?;
            D::set_no_transaction(conn);
        }
    }
}
