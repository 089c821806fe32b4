//! Releasing the locks of a section, and finding out whether they were held to the end.

use diesel::result::{Error, QueryResult};
use log::warn;

use crate::{
    connection_id::ConnectionId,
    driver::{
        Driver,
        out_of_step::OutOfStep,
        retry::{ask_again, execute_again},
    },
    error::NamedLockError,
    log_target::TARGET,
    name::LockName,
    statement::{
        release::{Answer, ReleaseLock},
        session_timeouts::SetTimeouts,
    },
};

use super::{
    Hold,
    ask::{roll_back_plainly, who_am_i, who_holds},
    kill::{kill_holder, kill_own},
};

impl Hold {
    /// Rolls back what the work left open, then releases every lock, last first. May be called again after a panic in it.
    ///
    /// # Errors
    ///
    /// Says what was lost: a lock or a transaction. Nothing is held all the same, or the session was killed.
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
                None => self.release_one::<D, C>(conn, last).await,
            };
            self.held = last;
            released = released.and(this);
        }
        match (rolled_back, released) {
            (Err(left_open @ NamedLockError::TransactionLeftOpen { .. }), Err(lost)) => {
                warn!(target: TARGET, connection = self.session.get(); "{left_open}");
                Err(lost)
            }
            (rolled_back, released) => rolled_back.and(released),
        }
    }

    /// Before the release: after it, the next holder could read what is not yet undone. Returns the session of a connection
    /// that the work put in place of this one: its transaction is not to be rolled back here.
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

    async fn release_one<D: Driver<C>, C>(&mut self, conn: &mut C, index: usize) -> Result<(), NamedLockError> {
        if self.killed {
            return Err(self.lost(index, None));
        }
        if self.borrowed.contains(&index) {
            return self.check_outer_hold::<D, C>(conn, index).await;
        }
        let (answer, struck) = self.send_release::<D, C>(conn, index, self.session).await;
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

    /// As often as the lock is held. `KILL QUERY` may strike it, and the lock may be held still, and then has been all the time.
    /// The second part is what the first attempt failed with.
    async fn send_release<D: Driver<C>, C>(
        &self,
        conn: &mut C,
        index: usize,
        asker: ConnectionId,
    ) -> (QueryResult<Answer>, Option<Error>) {
        let release = ReleaseLock { name: self.name(index), session: asker.get(), seen_as: self.session };
        let (mut answer, struck) = match D::ask(conn, &release).await {
            Err(error) if OutOfStep::is(&error) => (Err(error), None),
            Err(error) => (ask_again::<D, C, _>(conn, &release).await, Some(error)),
            answer => (answer, None),
        };
        let mut released = false;
        while let Ok(Answer::HeldAgain) = answer {
            released = true;
            answer = ask_again::<D, C, _>(conn, &release).await;
        }
        match answer {
            // The release that was struck may have been the last.
            Ok(Answer::NotHeld) if released => (Ok(Answer::Released), struck),
            Err(error) => (Err(struck.unwrap_or(error)), None),
            answer => (answer, struck),
        }
    }

    /// The session says that it is another one: the work has set its `pseudo_thread_id`, or swapped the connection.
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
            Ok(found) => self.send_release::<D, C>(conn, index, found.asker).await.0,
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

    /// An outer section continues to hold the lock; this one only makes sure that it has been so.
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

    /// `None` if the connection is still that of the session which acquired the locks; otherwise, which session it is of.
    async fn other_session<D: Driver<C>, C>(&self, conn: &mut C) -> QueryResult<Option<ConnectionId>> {
        let asker = who_holds::<D, C>(conn, self.names.first()).await?.asker;
        let is_this = asker == self.session || who_am_i::<D, C>(conn).await? == self.session;
        Ok((!is_this).then_some(asker))
    }

    /// Kills the session that the work has swapped out, if it still holds the lock, and no outer section does by it.
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

    /// After the release, if an idle limit has shortened the session's timeouts. Kills the session if they can't be restored:
    /// nobody is to be surprised later by timeouts so short.
    pub(crate) async fn restore_timeouts<D: Driver<C>, C>(&mut self, conn: &mut C) {
        let Some(before) = self.timeouts else { return };
        // With a pseudo id, the statement, which looks at `CONNECTION_ID()`, would leave this session's timeouts alone.
        let restored =
            self.killed || !self.has_pseudo_id && execute_again::<D, C, _>(conn, SetTimeouts(before)).await.is_ok();
        if !restored {
            D::mark_broken(conn);
            kill_own::<D, C>(conn).await;
            warn!(target: TARGET, "a session was killed, since its timeouts could not be restored");
        }
        self.timeouts = None;
    }
}

/// Rolls back whatever is open, through Diesel, as long as the depth falls.
async fn roll_back_all<D: Driver<C>, C>(conn: &mut C) -> QueryResult<()> {
    loop {
        // In error, after a `ROLLBACK` in the work that failed: Diesel sends no other, and the mark stays.
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
