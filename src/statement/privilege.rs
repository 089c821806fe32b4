//! The privilege that an account lacks, and its `GRANT`.

use diesel::{QueryableByName, result::Error, sql_types::Text};

use super::{ask_again::Failed, question::ask};
use crate::{
    driver::{Driver, error_number::error_number},
    operator_error::OperatorError,
};

/// A privilege that an operator needs.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Privilege {
    PerformanceSchema,
    Process,
    /// MariaDB's.
    ReplicaStatus,
    Kill,
}

/// Returns whether a statement that needs this privilege failed for lack of it. Call it right after the failure.
pub(crate) async fn explain<D: Driver<C>, C>(conn: &mut C, privilege: Privilege, error: Error) -> OperatorError {
    let number = error_number::<D, C>(conn, &error).await;
    explain_failed::<D, C>(conn, privilege, Failed { number, error }).await
}

/// The same for a statement whose error number is known.
pub(crate) async fn explain_failed<D: Driver<C>, C>(
    conn: &mut C,
    privilege: Privilege,
    Failed { number, error }: Failed,
) -> OperatorError {
    // No SELECT on a table, not the owner of a thread, no access to what needs a privilege.
    let Some(1142 | 1095 | 1227) = number else { return error.into() };
    let answer = ask::<D, C, Account>(conn, "SELECT VERSION() AS version, CURRENT_USER() AS account LIMIT 1").await;
    let Some(account) = answer.ok().and_then(|mut rows| rows.pop()) else { return error.into() };
    let (what, right) = privilege.in_words(account.version.contains("MariaDB"));
    OperatorError::Denied { what, grant: format!("GRANT {right} TO {}", account.quoted()), source: error }
}

impl Privilege {
    fn in_words(self, mariadb: bool) -> (&'static str, &'static str) {
        match self {
            Self::PerformanceSchema => ("see the server's Performance Schema", "SELECT ON performance_schema.*"),
            Self::Process => ("see the sessions of others, which wait for named locks", "PROCESS ON *.*"),
            Self::ReplicaStatus => ("see what this server replicates from", "SLAVE MONITOR ON *.*"),
            Self::Kill if mariadb => ("end a session of another account", "CONNECTION ADMIN ON *.*"),
            Self::Kill => (
                "end a session of another account (of one that has SYSTEM_USER: only with both CONNECTION_ADMIN and SYSTEM_USER)",
                "CONNECTION_ADMIN ON *.*",
            ),
        }
    }
}

/// The server's version, and the account that this session has the privileges of.
#[derive(QueryableByName)]
struct Account {
    #[diesel(sql_type = Text)]
    version: String,
    #[diesel(sql_type = Text)]
    account: String,
}

impl Account {
    /// As a `GRANT` takes it.
    fn quoted(&self) -> String {
        // A user's name may have an `@` in it, a host's may not.
        let (user, host) = self.account.rsplit_once('@').unwrap_or((&self.account, "%"));
        let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
        format!("{}@{}", quoted(user), quoted(host))
    }
}
