//! What a named lock is worth on a server.

use std::fmt;

#[cfg(feature = "blocking")]
use diesel::result::QueryResult;

#[cfg(feature = "blocking")]
use super::protocol;
#[cfg(feature = "blocking")]
use crate::driver::{
    blocking::{Blocking, ready},
    status::NamedLockConnection,
};

/// What [`server_report`] found out about a server. Printed with `{}`, it is for people to read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerReport {
    /// Which server this is.
    pub product: Product,
    /// What it answers to `VERSION()`.
    pub version: String,
    /// What there is to know, the most severe first.
    pub findings: Vec<Finding>,
}

/// A server that speaks the MySQL protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Product {
    /// MySQL, or what can't be told from it.
    MySql,
    /// MariaDB.
    MariaDb,
    /// Amazon Aurora MySQL.
    Aurora,
    /// TiDB, of PingCAP.
    TiDb,
    /// Vitess, also as PlanetScale.
    Vitess,
}

/// Something about a server that matters to sections.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// What it is about.
    pub topic: Topic,
    /// How much it matters.
    pub severity: Severity,
    /// What is so, and what it means for a named lock.
    pub meaning: String,
    /// What to do; empty where there is nothing to do.
    pub advice: String,
}

/// How much a [`Finding`] matters. The greater, the worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Good to know.
    Info,
    /// Sections are exclusive, but some will fail that need not; or this could not be found out.
    Warning,
    /// **Sections may not be exclusive here.**
    Danger,
}

/// What a [`Finding`] is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Topic {
    /// Whether a session can hold several named locks at once.
    SeveralLocks,
    /// A server that is no MySQL or MariaDB, but speaks their language: TiDB, Vitess, Aurora.
    Compatibility,
    /// A server that refuses writes.
    ReadOnly,
    /// A server that replicates from another one.
    Replica,
    /// A node of a Galera cluster.
    Galera,
    /// A member of a Group Replication group.
    GroupReplication,
    /// Whether a statement outside of a transaction commits what it writes.
    Autocommit,
    /// Sessions that share the server's threads.
    ThreadPool,
    /// For how long a session may be idle.
    IdleTimeout,
    /// For how long a statement may run.
    StatementTimeLimit,
    /// Something between the client and the server.
    Proxy,
}

/// Looks at the server that `conn` talks to: whether named locks protect there what they seem to.
///
/// It tells:
///
/// - which server this is, and whether a session can hold several locks at once (MySQL from 5.7.5, MariaDB from 10.0.2);
/// - whether it is a replica or refuses writes;
/// - whether it is a node of a cluster (Galera, Group Replication), has left it, or has lost its majority;
/// - whether statements commit nothing by themselves (`autocommit`), and whether sessions share few threads;
/// - which timeouts would cut a long section short;
/// - whether something stands in between.
///
/// `docs/deployments.md` tells more of each. It asks some dozen statements and changes nothing. What this account may not
/// see becomes a finding that says so, with the `GRANT`.
///
/// The example `doctor` prints it: `examples/run doctor`.
///
/// # What it does not promise
///
/// It sees one server, from one session, at this moment. A server that is a primary today may be a replica tomorrow. A
/// proxy that gives every client a server connection of its own, and does not say its name, is not seen; nor is a firewall that
/// drops idle connections.
///
/// ```no_run
/// # use diesel::{MysqlConnection, QueryResult};
/// use diesel_named_lock::operator::{Severity, server_report};
///
/// # fn check(conn: &mut MysqlConnection) -> QueryResult<()> {
/// let report = server_report(conn)?;
/// println!("{report}");
/// assert!(report.max_severity() < Severity::Danger, "named locks protect nothing here");
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// Diesel's, where the server does not answer the plainest of the questions.
#[cfg(feature = "blocking")]
pub fn server_report<C: NamedLockConnection>(conn: &mut C) -> QueryResult<ServerReport> {
    ready(protocol::server_report::<Blocking, C>(conn))
}

impl ServerReport {
    /// The severity of the worst finding.
    ///
    /// ```no_run
    /// # use diesel::{MysqlConnection, QueryResult};
    /// # use diesel_named_lock::operator::{Severity, server_report};
    /// # fn check(conn: &mut MysqlConnection) -> QueryResult<()> {
    /// if server_report(conn)?.max_severity() == Severity::Danger {
    ///     eprintln!("named locks do not protect what they seem to");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn max_severity(&self) -> Severity {
        self.findings.iter().map(|finding| finding.severity).max().unwrap_or(Severity::Info)
    }
}

impl fmt::Display for ServerReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.product, self.version)?;
        self.findings.iter().try_for_each(|finding| write!(f, "\n{finding}"))
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:9}{}", format!("{}:", self.severity), self.meaning)?;
        if !self.advice.is_empty() {
            write!(f, "\n         {}", self.advice)?;
        }
        Ok(())
    }
}

impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::MySql => "MySQL",
            Self::MariaDb => "MariaDB",
            Self::Aurora => "Aurora MySQL",
            Self::TiDb => "TiDB",
            Self::Vitess => "Vitess",
        })
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Danger => "DANGER",
        })
    }
}
