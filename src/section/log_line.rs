//! The log lines of a section. The times and the connection are in the text, too, because most loggers show no key-values by
//! default.

use std::{error::Error, time::Duration};

use log::{debug, warn};

use crate::{error::NamedLockError, log_target::TARGET, names::Names, section::Hold};

pub(crate) fn acquired(hold: &Hold, waited: Duration) {
    let (names, connection) = (hold.names(), hold.session().get());
    debug!(
        target: TARGET, waited:?, connection;
        "acquired {names} on connection {connection}: waited {waited:.3?}"
    );
}

pub(crate) fn ended(hold: &Hold, waited: Duration, held: Duration, error: Option<&NamedLockError>) {
    let (names, connection) = (hold.names(), hold.session().get());
    match error {
        None => debug!(
            target: TARGET, waited:?, held:?, connection;
            "released {names} on connection {connection}: waited {waited:.3?}, held {held:.3?}"
        ),
        Some(error) => warn!(
            target: TARGET, waited:?, held:?, connection;
            "{error}{} (connection {connection}: waited {waited:.3?}, held {held:.3?})", cause(error)
        ),
    }
}

/// The locks are kept for the next section on this connection.
pub(crate) fn kept(hold: &Hold, waited: Duration, held: Duration) {
    let (names, connection) = (hold.names(), hold.session().get());
    debug!(
        target: TARGET, waited:?, held:?, connection;
        "keeping {names} on connection {connection} for the next section: waited {waited:.3?}, held {held:.3?}"
    );
}

/// The next section did not come.
pub(crate) fn kept_in_vain(hold: &Hold, released: &Result<(), NamedLockError>) {
    let (names, connection) = (hold.names(), hold.session().get());
    match released {
        Ok(()) => debug!(target: TARGET, connection; "released {names} on connection {connection}"),
        Err(error) => warn!(
            target: TARGET, connection;
            "{names} on connection {connection}, kept and then not used: {error}{}", cause(error)
        ),
    }
}

/// The session was killed, unless its server is gone.
pub(crate) fn gave_up(names: &Names, error: &NamedLockError) {
    warn!(target: TARGET, "{names}: gave up a session that may have been granted the lock: {error}{}", cause(error));
}

/// What the error itself does not say.
fn cause(error: &NamedLockError) -> String {
    error.source().map_or_else(String::new, |cause| format!(": {cause}"))
}

#[cfg(feature = "async")]
pub(crate) fn dropped(hold: &Hold) {
    let (names, connection) = (hold.names(), hold.session().get());
    // Not known before the first answer.
    let on = if connection == 0 { String::new() } else { format!(" on connection {connection}") };
    warn!(target: TARGET, connection; "{names}: dropped before its release{on}, the session is killed");
}
