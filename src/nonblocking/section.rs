//! A section on an async connection, also if the closure panics or the future is dropped.

use std::{
    panic::resume_unwind,
    time::{Duration, Instant},
};

use diesel::result::QueryResult;

use super::{
    armed::{Armed, Connection},
    work::{AsyncWork, caught},
};
use crate::{
    connection_id::ConnectionId,
    driver::{nonblocking::Nonblocking, status::nonblocking as status},
    error::NamedLockError,
    names::Names,
    section::{
        Hold, Request,
        ask::{describe_holder, longest_idle_time},
        kill::kill_own,
        log_line,
        outcome::Section,
    },
};

/// A section whose locks are held, on a connection that it borrows or owns. It must be finished.
pub(super) struct Begun<P: Connection> {
    armed: Armed<P>,
    waited: Duration,
    granted: Instant,
}

/// A section that has ended.
pub(super) struct Finished<P, T> {
    pub(super) conn: P,
    pub(super) section: Section<T>,
    /// The session, which may still be at a statement of the closure.
    pub(super) was_killed: bool,
}

/// A section that did not begin.
pub(super) struct NotBegun<P: Connection> {
    armed: Armed<P>,
    error: NamedLockError,
}

/// Acquires the locks.
pub(super) async fn begin<P: Connection>(conn: P, names: Names, request: Request) -> Result<Begun<P>, NotBegun<P>> {
    let mut armed = Armed::new(conn, Hold::new(names));
    let (conn, hold) = armed.parts();
    if let Err(error) = hold.acquire::<Nonblocking, _>(conn, &request).await {
        hold.restore_timeouts::<Nonblocking, _>(conn).await;
        return Err(NotBegun { armed, error });
    }
    let waited = request.deadline.elapsed();
    log_line::acquired(hold, waited);
    Ok(Begun { armed, waited, granted: Instant::now() })
}

impl<P: Connection> NotBegun<P> {
    pub(super) fn is_broken(&self) -> bool {
        matches!(self.error, NamedLockError::Broken { .. })
    }

    pub(super) fn into_parts(self) -> (P, NamedLockError) {
        (self.armed.disarm(), self.error)
    }

    /// Adds the holder of the lock to a timeout, if the server says who it is.
    pub(super) async fn with_holder(mut self) -> Self {
        if let NamedLockError::Timeout { name, holder, .. } = &mut self.error {
            let (conn, _) = self.armed.parts();
            *holder = describe_holder::<Nonblocking, _>(conn, name).await.ok().flatten().map(Box::new);
        }
        self
    }
}

impl<P: Connection> Begun<P> {
    pub(super) async fn run<T, F>(mut self, work: F) -> Section<T>
    where
        T: Send,
        for<'r> F: AsyncFnOnce(&'r mut P::Target) -> T + AsyncWork<&'r mut P::Target, T, Future: Send> + Send,
    {
        match caught(async { work(self.conn()).await }).await {
            Ok(value) => self.finish(value).await.section,
            Err(panic) => {
                self.finish(()).await;
                resume_unwind(panic)
            }
        }
    }

    /// A section inside this one, over the same locks, as a re-entrant one. Nothing has to be asked.
    #[cfg(feature = "job")]
    pub(super) fn inside(&mut self) -> Begun<&mut P::Target> {
        let waited = self.waited;
        let (conn, hold) = self.armed.parts();
        let hold = hold.inside();
        Begun::resume(Armed::new(conn, hold), waited)
    }

    pub(super) fn conn(&mut self) -> &mut P::Target {
        self.armed.parts().0
    }

    pub(super) fn conn_ref(&self) -> &P::Target {
        self.armed.conn()
    }

    pub(super) fn locks(&self) -> &Names {
        self.armed.hold().names()
    }

    pub(super) fn session(&self) -> ConnectionId {
        self.armed.hold().session()
    }

    /// Whether this session holds every lock.
    pub(super) async fn still_holds(&mut self) -> Result<bool, NamedLockError> {
        let (conn, hold) = self.armed.parts();
        Ok(hold.still_holds::<Nonblocking, _>(conn).await?)
    }

    /// How long the server lets this session be idle.
    pub(super) async fn longest_idle_time(&mut self) -> QueryResult<Duration> {
        longest_idle_time::<Nonblocking, _>(self.conn()).await
    }

    /// Kills the session, so that its release returns `Lost`.
    pub(super) async fn kill(&mut self) {
        status::mark_broken(self.conn());
        kill_own::<Nonblocking, _>(self.conn()).await;
        self.armed.parts().1.set_killed();
    }

    pub(super) fn waited(&self) -> Duration {
        self.waited
    }

    /// As far as Diesel knows.
    pub(super) fn has_no_transaction(&mut self) -> bool {
        matches!(status::depth(self.conn()), Ok(0))
    }

    /// Whether the server says that the locks are held.
    pub(super) async fn is_confirmed(&mut self) -> bool {
        let (conn, hold) = self.armed.parts();
        hold.is_confirmed::<Nonblocking, _>(conn).await
    }

    /// Ends the section without a release. The locks are kept for the next section on this connection.
    pub(super) fn keep<T>(self, value: T) -> (Section<T>, Armed<P>) {
        let (waited, held, hold) = (self.waited, self.granted.elapsed(), self.armed.hold());
        log_line::kept(hold, waited, held);
        (Section { value, waited, held, error: None }, self.armed)
    }

    /// Continues with locks that are already held.
    pub(super) fn resume(armed: Armed<P>, waited: Duration) -> Self {
        Self { armed, waited, granted: Instant::now() }
    }

    pub(super) async fn finish<T>(mut self, value: T) -> Finished<P, T> {
        let (waited, granted) = (self.waited, self.granted);
        let (conn, hold) = self.armed.parts();
        let error = hold.release::<Nonblocking, _>(conn).await.err();
        let held = granted.elapsed();
        hold.restore_timeouts::<Nonblocking, _>(conn).await;
        log_line::ended(hold, waited, held, error.as_ref());
        let was_killed = hold.was_killed();
        Finished { conn: self.armed.disarm(), section: Section { value, waited, held, error }, was_killed }
    }
}
