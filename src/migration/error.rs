//! The error of migrations, with how far they came.

use std::{error::Error, fmt};

use diesel::migration::MigrationVersion;

use crate::error::NamedLockError;

/// The error of migrations under a lock, with what was done before.
///
/// ```no_run
/// # use std::time::Duration;
/// # use diesel::MysqlConnection;
/// # use diesel_migrations::{EmbeddedMigrations, embed_migrations};
/// # use diesel_named_lock::migration::{MigrationError, MigrationExt};
/// # const MIGRATIONS: EmbeddedMigrations = embed_migrations!();
/// # fn start(conn: &mut MysqlConnection) {
/// match conn.run_pending_migrations_locked(MIGRATIONS, Duration::from_secs(60)) {
///     Ok(ran) => println!("{} migrations run", ran.len()),
///     Err(MigrationError::Failed { version, .. }) => eprintln!("the schema may be half-way in {version}"),
///     Err(error) => eprintln!("{error}"),
/// }
/// # }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MigrationError {
    /// The lock was not acquired. No migration has run, and nothing is held. In a section of your own, it may also be that the lock was
    /// lost: see the [variant](NamedLockError).
    #[error(transparent)]
    Lock(#[from] NamedLockError),

    /// No database is selected on this connection, so there is nothing to migrate. Nothing has run.
    #[error("no database is selected on this connection: name the database to migrate in its URL")]
    NoDatabase,

    /// It could not be found out which migrations are pending, for example because `KILL QUERY` struck a query of the harness. Nothing has
    /// run.
    #[error("no migration was run or reverted, because the plan could not be made: {source}")]
    #[non_exhaustive]
    Unplanned {
        /// The error of the server, of the source of the migrations, or of the harness.
        r#source: Box<dyn Error + Send + Sync>,
    },

    /// A migration failed, or its session was killed in the middle of it. **A part of it may be in place**: MySQL commits each `CREATE`,
    /// `ALTER` and `DROP` by itself.
    ///
    /// As long as a part is in place, every later run fails at this version. [`MigrationExt`](super::MigrationExt) has marked the connection
    /// broken, because it may have locked tables, or another current database. Drop it.
    #[error(
        "migration {name} failed to {step} (version {version}; done before it: {}), and a part of it may be in place: \
         compare the schema with its SQL, undo or finish that part by hand, then try again; the cause: {source}",
        listed(.done)
    )]
    #[non_exhaustive]
    Failed {
        /// Whether it was to be run or reverted.
        step: Step,
        /// The version that failed.
        version: MigrationVersion<'static>,
        /// The full name of the migration.
        name: String,
        /// What this call had run or reverted before, in this order.
        done: Vec<MigrationVersion<'static>>,
        /// The error of the server or of the harness.
        r#source: Box<dyn Error + Send + Sync>,
    },

    /// Everything succeeded, but at the end the server did not confirm that this session still held the lock.
    #[error("migrations done ({}), but perhaps not alone: {source}", listed(.done))]
    #[non_exhaustive]
    Lost {
        /// What this call ran or reverted, in this order.
        done: Vec<MigrationVersion<'static>>,
        /// The error of the lock.
        r#source: NamedLockError,
    },
}

impl MigrationError {
    pub(super) fn unplanned(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Unplanned { source: source.into() }
    }
}

/// What was to be done with a migration. A part of [`MigrationError::Failed`].
///
/// ```
/// use diesel_named_lock::migration::Step;
///
/// assert_eq!(Step::Revert.to_string(), "revert");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Its `up.sql`.
    Run,
    /// Its `down.sql`.
    Revert,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Run => "run",
            Self::Revert => "revert",
        })
    }
}

fn listed(done: &[MigrationVersion<'_>]) -> String {
    match done {
        [] => "none".into(),
        versions => versions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    }
}
