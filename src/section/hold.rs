//! The locks that a session holds, and so what must be released.

use std::sync::Arc;

use diesel::result::QueryResult;

use crate::{
    connection_id::ConnectionId,
    driver::{Driver, retry::ask_again},
    error::NamedLockError,
    name::LockName,
    names::Names,
    section::{
        ask::{holds_lock, who_holds},
        kill::kill_own,
    },
    slots::Slots,
    statement::{session_timeouts::Timeouts, slots::CountHeld, who_holds::Holding},
};
#[cfg(feature = "blocking")]
use crate::{section::ask::held_on, statement::held_on::ServerRun};

/// The locks of one section that a session holds, or may hold.
///
/// It exists before the first statement is sent and is updated after each one, so it always says what is left to be released.
#[derive(Debug)]
pub(crate) struct Hold {
    pub(super) names: Names,
    /// The session that holds the locks, once there is one.
    pub(super) session: ConnectionId,
    /// How many of the names are held: a prefix.
    pub(super) held: usize,
    /// The next name may be held, too: the request had no clear answer, or none yet.
    pub(super) in_doubt: bool,
    /// The session did not hold this name right before it was asked for: the server said so.
    pub(super) was_free: bool,
    /// Slots of which some are to be held, until they are: any of them may be in doubt.
    pub(super) slots: Option<Arc<Slots>>,
    /// Which of the names an outer section holds. They must not be released here.
    pub(super) borrowed: Vec<usize>,
    /// The closure has set the session's `pseudo_thread_id`.
    pub(super) has_pseudo_id: bool,
    /// The timeouts of the session before an idle limit shortened them.
    pub(super) timeouts: Option<Timeouts>,
    /// The session was killed from within, and the connection marked.
    pub(super) killed: bool,
}

impl Hold {
    pub(crate) fn new(names: Names) -> Self {
        Self {
            names,
            session: ConnectionId::from(0),
            held: 0,
            in_doubt: false,
            was_free: false,
            slots: None,
            borrowed: Vec::new(),
            has_pseudo_id: false,
            timeouts: None,
            killed: false,
        }
    }

    /// Returns the hold of a re-entrant section inside the one that holds these locks.
    #[cfg(feature = "job")]
    pub(crate) fn inside(&self) -> Self {
        let held = self.names.as_slice().len();
        Self { session: self.session, held, borrowed: (0..held).collect(), ..Self::new(self.names.clone()) }
    }

    pub(crate) fn names(&self) -> &Names {
        &self.names
    }

    pub(crate) fn session(&self) -> ConnectionId {
        self.session
    }

    pub(super) fn name(&self, index: usize) -> &LockName {
        &self.names.as_slice()[index]
    }

    pub(crate) fn was_killed(&self) -> bool {
        self.killed
    }

    pub(crate) fn set_killed(&mut self) {
        self.killed = true;
    }

    /// The session had these timeouts before. They are restored after the release.
    #[cfg(feature = "quorum")]
    pub(crate) fn restore_later(&mut self, before: Timeouts) {
        self.timeouts = Some(before);
    }

    pub(crate) fn has_shortened_timeouts(&self) -> bool {
        self.timeouts.is_some()
    }

    /// Returns whether the server says that this session holds every lock and, on MariaDB, is in no transaction. If not,
    /// [`release`](Self::release) finds out why.
    pub(crate) async fn is_confirmed<D: Driver<C>, C>(&self, conn: &mut C) -> bool {
        for name in self.names.as_slice() {
            match who_holds::<D, C>(conn, name).await {
                Ok(found) if self.is_confirmed_by(found) => {}
                _ => return false,
            }
        }
        true
    }

    /// The same for the first lock. Returns the server that it is held on.
    #[cfg(feature = "blocking")]
    pub(crate) async fn confirmed_on<D: Driver<C>, C>(&self, conn: &mut C) -> Option<ServerRun> {
        let (found, server) = held_on::<D, C>(conn, self.names.first()).await.ok()?;
        self.is_confirmed_by(found).then_some(server)
    }

    fn is_confirmed_by(&self, found: Holding) -> bool {
        found.asker == self.session && found.is_asker() && !found.in_transaction
    }

    /// Returns whether this session holds every lock, whatever its `pseudo_thread_id`.
    pub(crate) async fn still_holds<D: Driver<C>, C>(&self, conn: &mut C) -> QueryResult<bool> {
        let names = self.names.as_slice();
        if names.len() > 1 && ask_again::<D, C, _>(conn, &CountHeld { names }).await?.0 == names.len() {
            return Ok(true);
        }
        for name in names {
            if !holds_lock::<D, C>(conn, name).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Kills the session, which frees its locks, and makes the pool close the connection. For a release that can't be confirmed.
    pub(super) async fn kill<D: Driver<C>, C>(&mut self, conn: &mut C) {
        D::mark_broken(conn);
        kill_own::<D, C>(conn).await;
        // Only now, because a hook of the application may have panicked during the kill.
        self.killed = true;
    }

    pub(super) fn lost(&self, index: usize, source: Option<diesel::result::Error>) -> NamedLockError {
        NamedLockError::Lost { name: self.name(index).clone(), connection_id: self.session, source }
    }
}
