//! Whether named locks are safe on a server.

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

/// The findings of [`server_report`] about a server. `{}` prints them for people.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerReport {
    /// The product.
    pub product: Product,
    /// The server's answer to `VERSION()`.
    pub version: String,
    /// The findings, the most severe first.
    pub findings: Vec<Finding>,
}

/// A server that speaks the MySQL protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Product {
    /// MySQL, or a server that can't be distinguished from it.
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

/// A fact about a server that matters to sections.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// The topic.
    pub topic: Topic,
    /// The severity.
    pub severity: Severity,
    /// The fact, and what it means for a named lock.
    pub meaning: String,
    /// What to do. Empty if there is nothing to do.
    pub advice: String,
}

/// The severity of a [`Finding`]. The greater, the worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Good to know.
    Info,
    /// Sections are exclusive, but some will fail without need. Or this could not be found out.
    Warning,
    /// **Sections may not be exclusive here.**
    Danger,
}

/// The topic of a [`Finding`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Topic {
    /// Whether a session can hold several named locks at once.
    SeveralLocks,
    /// A server that is neither MySQL nor MariaDB, but speaks their protocol: TiDB, Vitess, Aurora.
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
    /// Whether sessions share the server's threads.
    ThreadPool,
    /// How long a session may be idle.
    IdleTimeout,
    /// How long a statement may run.
    StatementTimeLimit,
    /// Something between the client and the server.
    Proxy,
}

/// Checks whether named locks are safe on the server that `conn` is connected to.
///
/// The report says:
///
/// - which server this is, and whether a session can hold several locks at once (MySQL from 5.7.5, MariaDB from 10.0.2);
/// - whether it is a replica or refuses writes;
/// - whether it is a node of a cluster (Galera, Group Replication), has left it, or has lost its majority;
/// - whether statements commit nothing by themselves (`autocommit`), and whether sessions share few threads;
/// - which timeouts would cut a long section short;
/// - whether a proxy is in between.
///
/// The guide "servers and proxies" says more about each. This function runs about a dozen statements and changes nothing. If this account
/// may not see something, a finding says so and has the `GRANT`.
///
/// `named-lock doctor` prints it (feature `cli`).
///
/// # What it does not promise
///
/// It sees one server, from one session, at this moment. A server that is a primary today may be a replica tomorrow. It does not notice a
/// proxy that gives every client a server connection of its own and does not say its name, nor a firewall that drops idle connections.
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
/// Returns Diesel's error if the server does not answer the simplest of the questions.
#[cfg(feature = "blocking")]
pub fn server_report<C: NamedLockConnection>(conn: &mut C) -> QueryResult<ServerReport> {
    ready(protocol::server_report::<Blocking, C>(conn))
}

impl ServerReport {
    /// Returns the severity of the worst finding.
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
