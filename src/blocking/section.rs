//! A section on a blocking connection, also if the closure panics.

use std::{
    ops::DerefMut,
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use diesel::result::QueryResult;
use log::warn;
use scopeguard::{OnUnwind, ScopeGuard};

#[cfg(feature = "quorum")]
use crate::statement::session_timeouts::Timeouts;
use crate::{
    connection_id::ConnectionId,
    driver::{
        blocking::{Blocking, ready},
        status::{self, NamedLockConnection},
    },
    error::NamedLockError,
    log_target::TARGET,
    name::LockName,
    names::Names,
    section::{
        Hold, Request,
        ask::{describe_holder, held_on},
        kill::kill_own,
        log_line,
        outcome::Section,
    },
    statement::held_on::ServerRun,
};

/// A section whose locks are held, on a connection that it borrows or owns. It must be finished. A panic before that releases the locks, too.
pub(crate) struct Begun<P: Connection> {
    guarded: Guarded<P>,
    waited: Duration,
    granted: Instant,
}

/// The access to the connection: `&mut C`, or [`Owned`](crate::owned::Owned).
pub(crate) trait Connection: DerefMut<Target: NamedLockConnection + Sized> {}

impl<P: DerefMut<Target: NamedLockConnection + Sized>> Connection for P {}

type Guarded<P> = ScopeGuard<(P, Hold), fn((P, Hold)), OnUnwind>;

/// Acquires the locks, or returns the connection with the reason.
pub(crate) fn begin<P: Connection>(conn: P, names: Names, request: Request) -> Result<Begun<P>, (P, NamedLockError)> {
    // Armed before the acquire, because a hook of the application may panic in it.
    let mut guarded = guard(conn, Hold::new(names));
    let (conn, hold) = &mut *guarded;
    if let Err(error) = ready(hold.acquire::<Blocking, _>(&mut **conn, &request)) {
        restore_timeouts(&mut **conn, hold);
        return Err((ScopeGuard::into_inner(guarded).0, error));
    }
    let waited = request.deadline.elapsed();
    log_line::acquired(hold, waited);
    Ok(Begun { guarded, waited, granted: Instant::now() })
}

/// Continues with locks that are already held.
pub(crate) fn resume<P: Connection>(conn: P, hold: Hold, waited: Duration) -> Begun<P> {
    Begun { guarded: guard(conn, hold), waited, granted: Instant::now() }
}

fn guard<P: Connection>(conn: P, hold: Hold) -> Guarded<P> {
    scopeguard::guard_on_unwind((conn, hold), |(mut conn, hold)| {
        release_unwinding(&mut *conn, hold);
    })
}

impl<P: Connection> Begun<P> {
    pub(crate) fn run<T>(mut self, work: impl FnOnce(&mut P::Target) -> T) -> Section<T> {
        let value = work(self.conn());
        self.finish(value).1
    }

    /// A section inside this one, over the same locks, as a re-entrant one. Nothing has to be asked.
    #[cfg(feature = "job")]
    pub(crate) fn inside(&mut self) -> Begun<&mut P::Target> {
        let (conn, hold) = &mut *self.guarded;
        resume(&mut **conn, hold.inside(), self.waited)
    }

    pub(crate) fn conn(&mut self) -> &mut P::Target {
        &mut self.guarded.0
    }

    pub(crate) fn conn_ref(&self) -> &P::Target {
        &self.guarded.0
    }

    pub(crate) fn locks(&self) -> &Names {
        self.guarded.1.names()
    }

    pub(crate) fn session(&self) -> ConnectionId {
        self.guarded.1.session()
    }

    pub(crate) fn waited(&self) -> Duration {
        self.waited
    }

    /// As far as Diesel knows.
    pub(crate) fn has_no_transaction(&mut self) -> bool {
        matches!(self.depth(), Ok(0))
    }

    /// How many transactions and savepoints are open, as far as Diesel knows.
    pub(crate) fn depth(&mut self) -> QueryResult<u32> {
        status::depth(self.conn())
    }

    /// Whether the server says that the locks are held.
    pub(crate) fn is_confirmed(&mut self) -> bool {
        let (conn, hold) = &mut *self.guarded;
        ready(hold.is_confirmed::<Blocking, _>(&mut **conn))
    }

    /// The same for the first of the locks, and on which server it is held.
    pub(crate) fn confirmed_on(&mut self) -> Option<ServerRun> {
        let (conn, hold) = &mut *self.guarded;
        ready(hold.confirmed_on::<Blocking, _>(&mut **conn))
    }

    /// How long the locks have been held.
    pub(crate) fn held(&self) -> Duration {
        self.granted.elapsed()
    }

    /// Whether the session of the connection holds the locks.
    pub(crate) fn still_holds(&mut self) -> Result<bool, NamedLockError> {
        let (conn, hold) = &mut *self.guarded;
        Ok(ready(hold.still_holds::<Blocking, _>(&mut **conn))?)
    }

    pub(crate) fn finish<T>(self, value: T) -> (P, Section<T>) {
        let (conn, hold, section) = self.finish_quietly(value);
        log_line::ended(&hold, section.waited, section.held, section.error.as_ref());
        (conn, section)
    }

    /// The same, for a caller that logs the end by itself.
    pub(crate) fn finish_quietly<T>(mut self, value: T) -> (P, Hold, Section<T>) {
        let (waited, granted) = (self.waited, self.granted);
        let (conn, hold) = &mut *self.guarded;
        let error = ready(hold.release::<Blocking, _>(&mut **conn)).err();
        let held = granted.elapsed();
        restore_timeouts(&mut **conn, hold);
        let (conn, hold) = self.disarm();
        (conn, hold, Section { value, waited, held, error })
    }

    /// The session had these timeouts before. They are restored after the release.
    #[cfg(feature = "quorum")]
    pub(crate) fn restore_later(&mut self, before: Timeouts) {
        self.guarded.1.restore_later(before);
    }

    /// Ends the section without a release. The locks are kept for the next section on this connection.
    pub(crate) fn keep<T>(self, value: T) -> (P, Section<T>, Hold) {
        let (waited, held) = (self.waited, self.held());
        let (conn, hold) = self.disarm();
        log_line::kept(&hold, waited, held);
        (conn, Section { value, waited, held, error: None }, hold)
    }

    /// Releases the locks after a panic of the closure that was caught. Returns whether they were held until then.
    ///
    /// Makes a pool close the connection, as it does with one that it gets back in a panic: raw SQL of the closure may have left a
    /// transaction in the session.
    pub(crate) fn end_after_panic(self) -> (P, bool) {
        let (mut conn, hold) = self.disarm();
        let was_held = release_unwinding(&mut *conn, hold);
        status::mark_broken(&mut *conn);
        (conn, was_held)
    }

    /// Called by hand, because a section in a destructor may end while another panic unwinds, which is not a panic of this section.
    fn disarm(self) -> (P, Hold) {
        ScopeGuard::into_inner(self.guarded)
    }
}

/// Releases locks that were kept for a section that did not come. Returns whether they were held until then.
pub(crate) fn release_kept<C: NamedLockConnection>(conn: &mut C, hold: Hold) -> bool {
    let mut guarded = guard(conn, hold);
    let (conn, hold) = &mut *guarded;
    let released = ready(hold.release::<Blocking, C>(conn));
    log_line::kept_in_vain(hold, &released);
    ScopeGuard::into_inner(guarded);
    was_held(released.as_ref().err())
}

/// Cleans up during a panic. Nothing may panic here again, not even a hook of the application. Returns whether the locks were held until
/// the release.
fn release_unwinding<C: NamedLockConnection>(conn: &mut C, mut hold: Hold) -> bool {
    let release = || {
        let released = ready(hold.release::<Blocking, C>(conn));
        if let Err(error) = &released {
            let connection = hold.session().get();
            warn!(target: TARGET, connection; "after a panic, on connection {connection}: {error}");
        }
        was_held(released.as_ref().err())
    };
    match catch_unwind(AssertUnwindSafe(release)) {
        Ok(was_held) => {
            restore_timeouts(conn, &mut hold);
            was_held
        }
        Err(_) => {
            kill_silently(conn);
            false
        }
    }
}

/// Whether the locks were held to the end, by the outcome of the release.
pub(crate) fn was_held(lost: Option<&NamedLockError>) -> bool {
    matches!(lost, None | Some(NamedLockError::TransactionLeftOpen { .. }))
}

/// The section is over, so a panic of a hook must not cost the caller its outcome.
fn restore_timeouts<C: NamedLockConnection>(conn: &mut C, hold: &mut Hold) {
    if !hold.has_shortened_timeouts() {
        return;
    }
    let restore = || ready(hold.restore_timeouts::<Blocking, C>(conn));
    if catch_unwind(AssertUnwindSafe(restore)).is_err() {
        kill_silently(conn);
    }
}

/// Kills the session without the application's hooks, because one of them has panicked.
fn kill_silently<C: NamedLockConnection>(conn: &mut C) {
    let kill = || {
        status::mark_broken(conn);
        status::silence(conn);
        ready(kill_own::<Blocking, C>(conn));
    };
    let _ = catch_unwind(AssertUnwindSafe(kill));
}

/// Whether another session holds the lock, on the same server. `None`: there was no answer.
pub(crate) fn is_held_by<C: NamedLockConnection>(
    conn: &mut C,
    name: &LockName,
    session: ConnectionId,
    server: &ServerRun,
) -> Option<bool> {
    let (found, found_on) = ready(held_on::<Blocking, C>(conn, name)).ok()?;
    Some(found.holder == Some(session) && found_on == *server)
}

/// Adds the holder of the lock to a timeout, if the server says who it is.
pub(crate) fn with_holder<C: NamedLockConnection>(mut error: NamedLockError, conn: &mut C) -> NamedLockError {
    if let NamedLockError::Timeout { name, holder, .. } = &mut error {
        *holder = ready(describe_holder::<Blocking, C>(conn, name)).ok().flatten().map(Box::new);
    }
    error
}
