//! What becomes of a connection if the future that uses it is dropped.

use std::{
    ops::DerefMut,
    panic::{AssertUnwindSafe, catch_unwind},
};

use log::warn;

use crate::{
    driver::{
        nonblocking::say_farewell,
        status::nonblocking::{self as status, NamedLockConnection},
    },
    log_target::TARGET,
    section::Hold,
};

/// Where the connection is: `&mut C`.
pub(super) trait Connection: DerefMut<Target: NamedLockConnection + Sized> + Send {}

impl<P: DerefMut<Target: NamedLockConnection + Sized> + Send> Connection for P {}

/// A connection in the middle of a section. If this is dropped, the session is given up: no answer can be awaited any more, and what
/// is still to be answered would be taken for the answer to the next statement.
pub(super) struct Armed<P: Connection> {
    /// `None`: disarmed.
    conn: Option<P>,
    hold: Hold,
}

impl<P: Connection> Armed<P> {
    pub(super) fn new(conn: P, hold: Hold) -> Self {
        Self { conn: Some(conn), hold }
    }

    pub(super) fn parts(&mut self) -> (&mut P::Target, &mut Hold) {
        (&mut **self.conn.as_mut().expect(ARMED), &mut self.hold)
    }

    /// Nothing is in flight any more.
    pub(super) fn disarm(mut self) -> P {
        self.conn.take().expect(ARMED)
    }
}

const ARMED: &str = "armed until it is disarmed, which consumes it";

impl<P: Connection> Drop for Armed<P> {
    fn drop(&mut self) {
        if let Some(conn) = &mut self.conn {
            let connection = self.hold.session().get();
            warn!(target: TARGET, connection; "{}: its future was dropped, the session is killed", self.hold.names());
            abandon(&mut **conn);
        }
    }
}

/// Makes sure that nobody uses the connection again, and tells the server to kill its session after the statement that runs.
fn abandon<C: NamedLockConnection>(conn: &mut C) {
    status::mark_broken(conn);
    if catch_unwind(AssertUnwindSafe(|| say_farewell(conn))).is_err() {
        // A hook of the application has panicked.
        let silently = || {
            status::silence(conn);
            say_farewell(conn);
        };
        let _ = catch_unwind(AssertUnwindSafe(silently));
    }
}
