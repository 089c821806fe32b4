//! Gives a connection up if the future that uses it is dropped.

use std::{
    ops::DerefMut,
    panic::{AssertUnwindSafe, catch_unwind},
};

use tokio::runtime::Handle;

use super::owned_connection::OwnedConnection;
use crate::{
    driver::{
        nonblocking::close,
        status::nonblocking::{self as status, NamedLockConnection},
    },
    owned::Owned,
    section::{Hold, log_line},
};

/// Whether the connection is owned or borrowed, and how it is given up.
pub(super) trait Connection: DerefMut<Target: NamedLockConnection + Sized> + Send {
    fn give_up(self);
}

/// The caller has the connection, and may keep it.
impl<C: NamedLockConnection> Connection for &mut C {
    fn give_up(self) {
        mark_and_close(self);
    }
}

impl<C: OwnedConnection> Connection for Owned<C> {
    fn give_up(mut self) {
        mark_and_close(&mut self.0);
        // Outside a runtime, some pools panic when a connection is dropped.
        let _ = catch_unwind(AssertUnwindSafe(|| self.0.close()));
    }
}

/// The server notices that the connection is closed: after the statement that runs or, if that waits for a lock, within a second. If the
/// connection can't be closed, the server is asked to kill the session after the statement that runs.
fn mark_and_close<C: NamedLockConnection>(conn: &mut C) {
    status::mark_broken(conn);
    if catch_unwind(AssertUnwindSafe(|| close(conn))).is_err() {
        // A hook of the application has panicked.
        let silently = || {
            status::silence(conn);
            close(conn);
        };
        let _ = catch_unwind(AssertUnwindSafe(silently));
    }
}

/// A connection in the middle of a section. If this value is dropped, the session is given up: no answer can be awaited, and an outstanding
/// answer would be taken for the answer to the next statement.
pub(super) struct Armed<P: Connection> {
    /// `None` once it is disarmed.
    conn: Option<P>,
    hold: Hold,
    /// The runtime that it was armed in.
    runtime: Option<Handle>,
}

impl<P: Connection> Armed<P> {
    pub(super) fn new(conn: P, hold: Hold) -> Self {
        Self { conn: Some(conn), hold, runtime: Handle::try_current().ok() }
    }

    pub(super) fn parts(&mut self) -> (&mut P::Target, &mut Hold) {
        (&mut **self.conn.as_mut().expect(ARMED), &mut self.hold)
    }

    pub(super) fn conn(&self) -> &P::Target {
        self.conn.as_ref().expect(ARMED)
    }

    pub(super) fn hold(&self) -> &Hold {
        &self.hold
    }

    /// Disarms it: nothing is in flight any more.
    pub(super) fn disarm(mut self) -> P {
        self.conn.take().expect(ARMED)
    }
}

const ARMED: &str = "armed until it is disarmed, which consumes it";

impl<P: Connection> Drop for Armed<P> {
    fn drop(&mut self) {
        if let Some(conn) = self.conn.take() {
            // The pool may have to replace it.
            let _entered = self.runtime.as_ref().map(Handle::enter);
            conn.give_up();
            log_line::dropped(&self.hold);
        }
    }
}
