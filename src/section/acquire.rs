//! Acquiring the locks of a section: several at once as long as they are free, otherwise one by one.

use std::sync::Arc;

use diesel::result::Error;

use crate::{
    connection_id::ConnectionId,
    deadline::{Deadline, Timeout},
    driver::Driver,
    error::NamedLockError,
    idle_limit::IdleLimit,
    name::LockName,
    slots::{Slots, Wanted},
    statement::{
        acquire::Answer,
        release::{self, ReleaseLock},
        several::MOST,
    },
};

use super::{
    Hold,
    ask::{holds_lock, who_holds},
    idle_limit::limit_idle_time,
    kill::kill_holder,
    log_line,
    waiting::{timed_out, wait_for_lock},
};

/// How the locks of a [`Hold`] are to be acquired.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) deadline: Deadline,
    /// How long the server waits for the first lock: a whole number of seconds stays one, which MySQL waits for best.
    pub(crate) first_wait: Timeout,
    pub(crate) reentrant: bool,
    pub(crate) idle_limit: Option<IdleLimit>,
    /// Acquire some or all of these, instead of the names.
    pub(crate) slots: Option<Arc<Slots>>,
}

impl Request {
    /// Whether those who want the same acquire it one after the other. A permit may be free although somebody else is just acquiring one.
    pub(crate) fn is_in_line(&self) -> bool {
        self.deadline.waits() || self.is_exclusive()
    }

    /// Whether nobody else may hold the lock at the same time.
    pub(crate) fn is_exclusive(&self) -> bool {
        self.slots.as_ref().is_none_or(|slots| slots.wanted == Wanted::All)
    }
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
    /// Returns an error if a lock was not acquired. Then nothing is held, and the connection is sound unless the error is
    /// [`Broken`](NamedLockError::Broken).
    pub(crate) async fn acquire<D: Driver<C>, C>(
        &mut self,
        conn: &mut C,
        request: &Request,
    ) -> Result<(), NamedLockError> {
        check::<D, C>(conn, self.names.first())?;
        let Err(error) = self.acquire_all::<D, C>(conn, request).await else { return Ok(()) };
        // Nothing was written under these locks, so it only matters whether the connection survived.
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
        let error = broken(error);
        log_line::gave_up(&self.names, &error);
        Err(error)
    }

    async fn acquire_all<D: Driver<C>, C>(&mut self, conn: &mut C, request: &Request) -> Result<(), NamedLockError> {
        if let Some(limit) = request.idle_limit {
            self.shorten_timeouts::<D, C>(conn, limit).await?;
        }
        if let Some(slots) = &request.slots {
            match slots.wanted {
                Wanted::Some(wanted) => return self.acquire_slots::<D, C>(conn, slots, wanted, request).await,
                Wanted::All if request.reentrant && self.borrow_turnstile::<D, C>(conn, slots).await? => return Ok(()),
                Wanted::All => self.names = slots.all_names(),
            }
        }
        let is_reentrant = request.reentrant && request.slots.is_none();
        let mut may_upgrade = request.slots.as_deref();
        let count = self.names.as_slice().len();
        // Whether the next lock was just seen not to be free.
        let mut is_taken = false;
        while self.held < count {
            let at_once = (count - self.held).min(MOST);
            // One by one, so that it is known for each lock whether an outer section holds it.
            if at_once > 1 && !is_taken && !is_reentrant {
                let acquired = self.get_free_locks::<D, C>(conn, at_once, request.deadline).await?;
                self.held += acquired;
                is_taken = acquired < at_once;
            } else {
                if let Some(slots) = may_upgrade.take() {
                    self.refuse_upgrade::<D, C>(conn, slots).await?;
                }
                self.acquire_one::<D, C>(conn, request, is_reentrant).await?;
                self.held += 1;
                is_taken = false;
            }
            (self.in_doubt, self.was_free) = (false, false);
        }
        Ok(())
    }

    async fn acquire_one<D: Driver<C>, C>(
        &mut self,
        conn: &mut C,
        request: &Request,
        is_reentrant: bool,
    ) -> Result<(), NamedLockError> {
        let index = self.held;
        if is_reentrant && self.is_held_before::<D, C>(conn, index).await? {
            self.borrowed.push(index);
            return Ok(());
        }
        let wait = if index == 0 { request.first_wait } else { request.deadline.remaining() };
        self.get_lock::<D, C>(conn, request.deadline, wait).await
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
    pub(super) async fn is_held_before<D: Driver<C>, C>(
        &mut self,
        conn: &mut C,
        index: usize,
    ) -> Result<bool, NamedLockError> {
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

    pub(super) async fn get_lock<D: Driver<C>, C>(
        &mut self,
        conn: &mut C,
        deadline: Deadline,
        wait: Timeout,
    ) -> Result<(), NamedLockError> {
        self.in_doubt = true;
        let answer = wait_for_lock::<D, C>(conn, self.name(self.held), deadline, wait).await?;
        self.check_answer::<D, C>(conn, answer, deadline).await
    }

    /// Whether the next lock, and those that were requested with it, are held now.
    pub(super) async fn check_answer<D: Driver<C>, C>(
        &mut self,
        conn: &mut C,
        answer: Answer,
        deadline: Deadline,
    ) -> Result<(), NamedLockError> {
        let name = self.name(self.held).clone();
        match answer {
            Answer::Granted(session) => {
                let checked = self.check_session::<D, C>(conn, self.held, session);
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

    /// All locks must be held by one session. A proxy may send each statement to another one.
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

    /// Releases the lock once. If the session held it before, it still does.
    pub(super) async fn refuse_pseudo_id<D: Driver<C>, C>(
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

    /// After an acquire with no clear answer, the lock may be held.
    ///
    /// Release it if it was seen to be free before. Otherwise don't: it may belong to an outer section, which would then continue
    /// without its lock. Killing the session is safe for both.
    pub(super) async fn settle<D: Driver<C>, C>(&mut self, conn: &mut C) {
        match self.slots.clone() {
            Some(slots) => self.settle_slots::<D, C>(conn, &slots).await,
            None => self.settle_next::<D, C>(conn).await,
        }
        // Only now, because a hook of the application may have panicked.
        self.in_doubt = false;
    }

    async fn settle_next<D: Driver<C>, C>(&mut self, conn: &mut C) {
        let name = self.name(self.held);
        match holds_lock::<D, C>(conn, name).await {
            Ok(false) => {}
            Ok(true) if self.was_free && self.is_holder::<D, C>(conn, name).await => self.held += 1,
            _ => self.kill::<D, C>(conn).await,
        }
    }
}

/// Returns `Broken` if the connection did not survive the error.
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
