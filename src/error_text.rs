//! The longer texts of [`NamedLockError`](crate::error::NamedLockError).

use std::time::Duration;

use crate::{connection_id::ConnectionId, holder::SessionInfo, name::LockName};

pub(crate) fn held_by(holder: &Option<Box<SessionInfo>>) -> String {
    holder.as_ref().map_or_else(String::new, |holder| format!(", held by {holder}"))
}

pub(crate) fn behind(in_queue: Duration) -> String {
    if in_queue.is_zero() { String::new() } else { format!(" ({in_queue:.3?} behind other threads of this process)") }
}

pub(crate) fn spent(waited: Duration, in_queue: Duration, in_checkout: Duration) -> String {
    if in_queue + in_checkout == Duration::ZERO {
        return String::new();
    }
    let on_server = waited.saturating_sub(in_queue + in_checkout);
    format!(
        " ({in_queue:.3?} behind other threads of this process, {in_checkout:.3?} for a connection of the pool, \
         {on_server:.3?} on the server)"
    )
}

pub(crate) fn already_held(name: &LockName, connection_id: Option<ConnectionId>) -> String {
    match connection_id {
        Some(id) => format!(
            "connection {id} itself holds named lock `{name}` already: use another name in the inner section, or make it \
             `reentrant()`; if there is no outer section, a `GET_LOCK` by hand was not released"
        ),
        None => format!(
            "this very thread is in a section on named lock `{name}` already, which the inner one would wait for: use \
             another name, or run it `reentrant()` on the connection that the outer section's work got"
        ),
    }
}

pub(crate) fn stray(expected: ConnectionId, ended: bool, failed: bool) -> String {
    match (ended, failed) {
        (true, _) => format!("connection {expected} was ended"),
        (false, false) => format!("connection {expected} was not seen to hold the lock any more"),
        (false, true) => format!("connection {expected} COULD NOT BE ENDED and still holds the lock"),
    }
}

pub(crate) fn left_open(name: &LockName, depth: Option<u32>) -> String {
    let (levels, cure) = match depth {
        Some(depth) => (format!("depth {depth}"), "commit it inside the work (`conn.transaction`)"),
        None => {
            let in_error = "Diesel's transaction manager is in error".to_owned();
            (in_error, "return the error of the work's `ROLLBACK`, and drop the connection")
        }
    };
    format!(
        "the work under named lock `{name}` left a transaction open ({levels}): it was rolled back before the release; {cure}"
    )
}
