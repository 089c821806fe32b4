//! Which privilege an account lacks, and the `GRANT` that gives it.

use diesel::{RunQueryDsl, dsl::sql, result::Error, select, sql_types::Text};

use crate::{
    driver::{
        blocking::{Blocking, ready},
        error_number::error_number,
        retry::retry,
        status::NamedLockConnection,
    },
    operator_error::OperatorError,
};

/// What an operator needs.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Privilege {
    PerformanceSchema,
    Process,
    /// MariaDB's.
    ReplicaStatus,
    Kill,
}

/// Right after a statement failed that needs this privilege: did it fail for lack of it?
pub(crate) fn explain<C: NamedLockConnection>(conn: &mut C, privilege: Privilege, error: Error) -> OperatorError {
    let number = ready(error_number::<Blocking, C>(conn));
    explain_number(conn, privilege, number, error)
}

/// The same of a statement whose error number is known.
pub(crate) fn explain_number<C: NamedLockConnection>(
    conn: &mut C,
    privilege: Privilege,
    number: Option<i32>,
    error: Error,
) -> OperatorError {
    // No SELECT on a table, not the owner of a thread, no access to what needs a privilege.
    let Some(1142 | 1095 | 1227) = number else { return error.into() };
    match retry(conn, account) {
        Ok((version, account)) => {
            let (what, right) = privilege.in_words(version.contains("MariaDB"));
            OperatorError::Denied { what, grant: format!("GRANT {right} TO {account}"), source: error }
        }
        Err(_) => error.into(),
    }
}

impl Privilege {
    fn in_words(self, mariadb: bool) -> (&'static str, &'static str) {
        match self {
            Self::PerformanceSchema => ("see the server's Performance Schema", "SELECT ON performance_schema.*"),
            Self::Process => ("see the sessions of others, which wait for named locks", "PROCESS ON *.*"),
            Self::ReplicaStatus => ("see what this server replicates from", "SLAVE MONITOR ON *.*"),
            Self::Kill if mariadb => ("end a session of another account", "CONNECTION ADMIN ON *.*"),
            Self::Kill => (
                "end a session of another account (of one that has SYSTEM_USER: not without having that, too)",
                "CONNECTION_ADMIN ON *.*",
            ),
        }
    }
}

/// The server's version, and the account that this session has the privileges of, as a `GRANT` takes it.
fn account<C: NamedLockConnection>(conn: &mut C) -> Result<(String, String), Error> {
    let (version, account): (String, String) =
        select((sql::<Text>("VERSION()"), sql::<Text>("CURRENT_USER()"))).get_result(conn)?;
    // A user's name may have an `@` in it, a host's may not.
    let (user, host) = account.rsplit_once('@').unwrap_or((&account, "%"));
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
    Ok((version, format!("{}@{}", quoted(user), quoted(host))))
}
