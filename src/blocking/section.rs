//! A section on a blocking connection: begins, runs the closure, ends; also when the closure panics.

use std::{
    ops::DerefMut,
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use log::{debug, warn};
use scopeguard::{OnUnwind, ScopeGuard};

use crate::{
    connection_id::ConnectionId,
    driver::{
        blocking::{Blocking, ready},
        status::{self, NamedLockConnection},
    },
    error::NamedLockError,
    log_target::TARGET,
    names::Names,
    section::{Hold, Request, ask::describe_holder, kill::kill_own, outcome::Section},
};

/// A section whose locks are held, on a connection that it borrows or owns. To be finished; a panic before that releases the
/// locks, too.
pub(crate) struct Begun<P: Connection> {
    guarded: Guarded<P>,
    waited: Duration,
    granted: Instant,
}

/// Where the connection is: `&mut C`, or [`Owned`](crate::owned::Owned).
pub(crate) trait Connection: DerefMut<Target: NamedLockConnection + Sized> {}

impl<P: DerefMut<Target: NamedLockConnection + Sized>> Connection for P {}

type Guarded<P> = ScopeGuard<(P, Hold), fn((P, Hold)), OnUnwind>;

/// Acquires the locks, or returns the connection with the reason.
pub(crate) fn begin<P: Connection>(conn: P, names: Names, request: Request) -> Result<Begun<P>, (P, NamedLockError)> {
    // Armed before the acquire, since a hook of the application may panic in it.
    let mut guarded = guard(conn, Hold::new(names));
    let (conn, hold) = &mut *guarded;
    if let Err(error) = ready(hold.acquire::<Blocking, _>(&mut **conn, &request)) {
        restore_timeouts(&mut **conn, hold);
        return Err((ScopeGuard::into_inner(guarded).0, error));
    }
    let waited = request.deadline.elapsed();
    debug!(target: TARGET, waited:?, connection = hold.session().get(); "acquired {}", hold.names());
    Ok(Begun { guarded, waited, granted: Instant::now() })
}

/// Continues with locks that are held already.
pub(crate) fn resume<P: Connection>(conn: P, hold: Hold, waited: Duration) -> Begun<P> {
    Begun { guarded: guard(conn, hold), waited, granted: Instant::now() }
}

fn guard<P: Connection>(conn: P, hold: Hold) -> Guarded<P> {
    scopeguard::guard_on_unwind((conn, hold), |(mut conn, hold)| release_unwinding(&mut *conn, hold))
}

impl<P: Connection> Begun<P> {
    pub(crate) fn run<T>(mut self, work: impl FnOnce(&mut P::Target) -> T) -> Section<T> {
        let value = work(self.conn());
        self.finish(value).1
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
        matches!(status::depth(self.conn()), Ok(0))
    }

    /// Whether the server says that the locks are held.
    pub(crate) fn is_confirmed(&mut self) -> bool {
        let (conn, hold) = &mut *self.guarded;
        ready(hold.is_confirmed::<Blocking, _>(&mut **conn))
    }

    /// Whether the connection's session holds the locks, whatever else it does.
    pub(crate) fn still_holds(&mut self) -> Result<bool, NamedLockError> {
        let (conn, hold) = &mut *self.guarded;
        Ok(ready(hold.still_holds::<Blocking, _>(&mut **conn))?)
    }

    pub(crate) fn finish<T>(mut self, value: T) -> (P, Section<T>) {
        let (waited, granted) = (self.waited, self.granted);
        let (conn, hold) = &mut *self.guarded;
        let error = ready(hold.release::<Blocking, _>(&mut **conn)).err();
        let held = granted.elapsed();
        restore_timeouts(&mut **conn, hold);
        let connection = hold.session().get();
        match &error {
            None => debug!(target: TARGET, waited:?, held:?, connection; "released {}", hold.names()),
            Some(error) => warn!(target: TARGET, waited:?, held:?, connection; "{error}"),
        }
        (self.disarm().0, Section { value, waited, held, error })
    }

    /// Ends the section without a release: the locks are kept for the next one on this connection.
    pub(crate) fn keep<T>(self, value: T) -> (P, Section<T>, Hold) {
        let (waited, held) = (self.waited, self.granted.elapsed());
        let (conn, hold) = self.disarm();
        debug!(target: TARGET, waited:?, held:?, connection = hold.session().get(); "keeping {}", hold.names());
        (conn, Section { value, waited, held, error: None }, hold)
    }

    /// By hand: a section in a destructor may end while a panic from elsewhere unwinds, which is not a panic of this section.
    fn disarm(self) -> (P, Hold) {
        ScopeGuard::into_inner(self.guarded)
    }
}

/// Releases locks that were kept for a section which did not come.
pub(crate) fn release_kept<C: NamedLockConnection>(conn: &mut C, hold: Hold) {
    let mut guarded = guard(conn, hold);
    let (conn, hold) = &mut *guarded;
    let released = ready(hold.release::<Blocking, C>(conn));
    let connection = hold.session().get();
    match released {
        Ok(()) => debug!(target: TARGET, connection; "released {}", hold.names()),
        // The section before was alone: it has seen the lock held at its end.
        Err(error) => warn!(target: TARGET, connection; "{}, kept and then not used: {error}", hold.names()),
    }
    ScopeGuard::into_inner(guarded);
}

/// The way out of a panic. Nothing may panic here again, not even a hook of the application.
fn release_unwinding<C: NamedLockConnection>(conn: &mut C, mut hold: Hold) {
    let release = || {
        if let Err(error) = ready(hold.release::<Blocking, C>(conn)) {
            warn!(target: TARGET, connection = hold.session().get(); "after a panic: {error}");
        }
    };
    match catch_unwind(AssertUnwindSafe(release)) {
        Ok(()) => restore_timeouts(conn, &mut hold),
        Err(_) => kill_silently(conn),
    }
}

/// The section is over: a panic of a hook is not to cost the caller its outcome any more.
fn restore_timeouts<C: NamedLockConnection>(conn: &mut C, hold: &mut Hold) {
    if !hold.has_shortened_timeouts() {
        return;
    }
    let restore = || ready(hold.restore_timeouts::<Blocking, C>(conn));
    if catch_unwind(AssertUnwindSafe(restore)).is_err() {
        kill_silently(conn);
    }
}

/// Kills the session without the application's hooks: one of them has panicked.
fn kill_silently<C: NamedLockConnection>(conn: &mut C) {
    let kill = || {
        status::mark_broken(conn);
        status::silence(conn);
        ready(kill_own::<Blocking, C>(conn));
    };
    let _ = catch_unwind(AssertUnwindSafe(kill));
}

/// Adds to a timeout who holds the lock. Only a courtesy: if the server does not say, nor does the timeout.
pub(crate) fn with_holder<C: NamedLockConnection>(mut error: NamedLockError, conn: &mut C) -> NamedLockError {
    if let NamedLockError::Timeout { name, holder, .. } = &mut error {
        *holder = ready(describe_holder::<Blocking, C>(conn, name)).ok().flatten().map(Box::new);
    }
    error
}
