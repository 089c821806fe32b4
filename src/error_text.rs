//! The longer texts of [`NamedLockError`](crate::error::NamedLockError).

use std::time::Duration;

use crate::{connection_id::ConnectionId, holder::SessionInfo, name::LockName};

pub(crate) fn held_by(holder: &Option<Box<SessionInfo>>) -> String {
    holder.as_ref().map_or_else(String::new, |holder| format!(", held by {holder}"))
}

/// Where the time of a section in a pool has gone.
pub(crate) fn spent(waited: Duration, in_queue: Duration, in_checkout: Duration) -> String {
    if in_queue + in_checkout == Duration::ZERO {
        return String::new();
    }
    let on_server = waited.saturating_sub(in_queue + in_checkout);
    in_parts(&[(in_queue, BEHIND), (in_checkout, "for a connection of the pool"), (on_server, "on the server")])
}

/// The same if there was no connection.
pub(crate) fn behind(in_queue: Duration) -> String {
    in_parts(&[(in_queue, BEHIND)])
}

const BEHIND: &str = "behind other threads of this process";

/// Without what took less than a millisecond.
fn in_parts(parts: &[(Duration, &str)]) -> String {
    let long = parts.iter().filter(|(time, _)| *time >= Duration::from_millis(1));
    let long: Vec<_> = long.map(|(time, on)| format!("{time:.3?} {on}")).collect();
    if long.is_empty() { String::new() } else { format!(" ({})", long.join(", ")) }
}

pub(crate) fn already_held(name: &LockName, connection_id: Option<ConnectionId>) -> String {
    match connection_id {
        Some(id) => format!(
            "named lock `{name}` is already held by this same connection, {id}: use another name in the inner section, or \
             make it `reentrant()` if it needs no more than the outer one holds (a shared lock is not upgraded); if there is \
             no outer section, a `GET_LOCK` by hand was not released"
        ),
        None => format!(
            "named lock `{name}` is already held or waited for by this very thread, in an outer section: use another name in \
             the inner section, or run it `reentrant()` on the connection that the outer closure got"
        ),
    }
}

pub(crate) fn stray(expected: ConnectionId, ended: bool, failed: bool) -> String {
    match (ended, failed) {
        (true, _) => format!("connection {expected} was killed"),
        (false, false) => format!("connection {expected} was not seen to hold the lock any more"),
        (false, true) => format!("connection {expected} COULD NOT BE KILLED and still holds the lock"),
    }
}

pub(crate) fn left_open(name: &LockName, depth: Option<u32>) -> String {
    let (levels, cure) = match depth {
        Some(depth) => (format!("depth {depth}"), "commit it before the section ends (`conn.transaction`)"),
        None => {
            let in_error = "Diesel's transaction manager is in error".to_owned();
            (in_error, "return the error of the `ROLLBACK` from the closure, and drop the connection")
        }
    };
    format!(
        "section on named lock `{name}` left a transaction open ({levels}): it was rolled back before the release; {cure}"
    )
}

#[cfg(test)]
mod tests {
    use std::{error::Error, iter::successors};

    use super::*;
    use crate::error::NamedLockError;

    fn ms(time: u64) -> Duration {
        Duration::from_millis(time)
    }

    #[test]
    fn only_what_took_time_is_told() {
        let instant = Duration::from_nanos(1);
        assert_eq!(spent(ms(3), Duration::ZERO, Duration::ZERO), "");
        assert_eq!(spent(ms(3), ms(3), Duration::ZERO), " (3.000ms behind other threads of this process)");
        assert_eq!(spent(ms(3) + 2 * instant, instant, instant), " (3.000ms on the server)");
        assert_eq!(
            spent(ms(6), ms(1), ms(2)),
            " (1.000ms behind other threads of this process, 2.000ms for a connection of the pool, 3.000ms on the server)"
        );
        assert_eq!(behind(instant), "");
    }

    /// As a report of the whole chain shows it.
    #[test]
    fn the_cause_is_told_once() {
        let name = || LockName::new("shop:stock").unwrap();
        let cause = || diesel::result::Error::QueryBuilderError("out of order".into());
        let no_connection = NamedLockError::NoConnection {
            name: name(),
            waited: ms(1),
            in_queue: Duration::ZERO,
            source: "out of order".into(),
        };
        let errors = [
            no_connection,
            NamedLockError::Refused { name: name(), source: cause() },
            NamedLockError::Broken { name: name(), source: cause() },
        ];
        for error in &errors {
            let chain = successors(Some(error as &dyn Error), |&error| error.source());
            let report: Vec<_> = chain.map(ToString::to_string).collect();
            let report = report.join(": ");
            assert_eq!(report.matches("out of order").count(), 1, "{report}");
        }
    }
}
