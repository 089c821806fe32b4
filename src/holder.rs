//! The description of a session that holds a lock or waits for it.

use std::{fmt, time::Duration};

use crate::connection_id::ConnectionId;

/// A session that holds a lock or waits for it, as the server described it at one moment.
///
/// The connection id is always there. The rest comes from the server's process list, which shows the sessions of other users only to
/// accounts with the `PROCESS` privilege (MySQL manual, "Accessing the Process List"). Without that privilege, it is `None`.
///
/// ```
/// use diesel_named_lock::NamedLockError;
///
/// fn log_holder(error: &NamedLockError) {
///     if let NamedLockError::Timeout { holder: Some(holder), .. } = error {
///         println!("held by {holder}: to kill it, `KILL {}`", holder.connection_id);
///     }
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionInfo {
    /// The connection id, which `KILL` accepts.
    pub connection_id: ConnectionId,
    /// The user that it logged in as.
    pub user: Option<String>,
    /// The host (and port) that it connected from.
    pub host: Option<String>,
    /// Its default database.
    pub database: Option<String>,
    /// The first 1,024 characters of the statement that it runs. `None` also if it is idle, between two statements.
    pub statement: Option<String>,
    /// For how long it has run this statement or been idle, in whole seconds.
    pub state_for: Option<Duration>,
}

impl SessionInfo {
    /// A session of which nothing else is known.
    pub(crate) fn new(connection_id: ConnectionId) -> Self {
        Self { connection_id, user: None, host: None, database: None, statement: None, state_for: None }
    }
}

/// How much of a statement an error message shows.
const SHOWN_CHARS: usize = 80;

impl fmt::Display for SessionInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "connection {}", self.connection_id)?;
        let Some(user) = &self.user else { return Ok(()) };
        write!(f, " ({user}@{}", self.host.as_deref().unwrap_or("?"))?;
        if let Some(database) = &self.database {
            write!(f, ", database {database}")?;
        }
        match &self.statement {
            None => write!(f, ", idle")?,
            Some(statement) => {
                let shown: String = statement.chars().take(SHOWN_CHARS).collect();
                let more = if shown.len() < statement.len() { "…" } else { "" };
                write!(f, ", running `{shown}{more}`")?;
            }
        }
        if let Some(time) = self.state_for {
            write!(f, " for {}s", time.as_secs())?;
        }
        write!(f, ")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder() -> SessionInfo {
        SessionInfo {
            connection_id: 42.into(),
            user: Some("app".into()),
            host: Some("10.0.0.5:50112".into()),
            database: Some("shop".into()),
            statement: None,
            state_for: Some(Duration::from_secs(12)),
        }
    }

    #[test]
    fn an_idle_holder_is_shown_with_the_time_it_has_been_idle() {
        assert_eq!(holder().to_string(), "connection 42 (app@10.0.0.5:50112, database shop, idle for 12s)");
    }

    #[test]
    fn a_long_statement_is_cut_between_characters() {
        let busy = SessionInfo { statement: Some("é".repeat(200)), ..holder() };
        assert!(busy.to_string().contains(&format!("running `{}…` for 12s", "é".repeat(80))), "{busy}");
    }

    #[test]
    fn a_holder_of_whom_the_server_tells_nothing_is_its_id() {
        assert_eq!(SessionInfo::new(42.into()).to_string(), "connection 42");
    }
}
