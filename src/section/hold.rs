//! What a session holds, and so what has to be released.

use diesel::result::QueryResult;

use crate::{
    connection_id::ConnectionId,
    driver::Driver,
    error::NamedLockError,
    name::LockName,
    names::Names,
    section::{
        ask::{holds_lock, who_holds},
        kill::kill_own,
    },
    statement::session_timeouts::Timeouts,
};

/// What a session holds, or may hold, of the locks of one section.
///
/// It is there before the first statement is sent, and is kept right from statement to statement, so that at every moment it
/// says what is left to be done.
#[derive(Debug)]
pub(crate) struct Hold {
    pub(super) names: Names,
    /// The session that holds the locks, once there is one.
    pub(super) session: ConnectionId,
    /// How many of the names are held: a prefix.
    pub(super) held: usize,
    /// The name after those may be held, too: asking for it had no clear answer, or none yet.
    pub(super) in_doubt: bool,
    /// The server said that this name was free, right before it was asked for.
    pub(super) was_free: bool,
    /// Which of the names an outer section holds. They are not to be released here.
    pub(super) borrowed: Vec<usize>,
    /// The work has set the session's `pseudo_thread_id`.
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
            borrowed: Vec::new(),
            has_pseudo_id: false,
            timeouts: None,
            killed: false,
        }
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

    pub(crate) fn has_shortened_timeouts(&self) -> bool {
        self.timeouts.is_some()
    }

    /// Whether the server says that this session holds every lock, and, on MariaDB, is in no transaction. If not,
    /// [`release`](Self::release) finds out why.
    pub(crate) async fn is_confirmed<D: Driver<C>, C>(&self, conn: &mut C) -> bool {
        for name in self.names.as_slice() {
            match who_holds::<D, C>(conn, name).await {
                Ok(found) if found.asker == self.session && found.is_asker() && !found.in_transaction => {}
                _ => return false,
            }
        }
        true
    }

    /// Whether this session holds every lock, whatever its `pseudo_thread_id`.
    pub(crate) async fn still_holds<D: Driver<C>, C>(&self, conn: &mut C) -> QueryResult<bool> {
        for name in self.names.as_slice() {
            if !holds_lock::<D, C>(conn, name).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// If a release can't be confirmed: kills the session, and frees the locks with it, and makes the pool close the
    /// connection.
    pub(super) async fn kill<D: Driver<C>, C>(&mut self, conn: &mut C) {
        D::mark_broken(conn);
        kill_own::<D, C>(conn).await;
        // Only now: a hook of the application may have panicked in it.
        self.killed = true;
    }

    pub(super) fn lost(&self, index: usize, source: Option<diesel::result::Error>) -> NamedLockError {
        NamedLockError::Lost { name: self.name(index).clone(), connection_id: self.session, source }
    }
}
