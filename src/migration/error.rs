//! How far migrations came, and why no further.

use std::{error::Error, fmt};

use diesel::migration::MigrationVersion;

use crate::error::NamedLockError;

/// What went wrong with migrations under a lock, and what has been done all the same.
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
///     Err(MigrationError::Failed { version, .. }) => eprintln!("the schema may stand half-way in {version}"),
///     Err(error) => eprintln!("{error}"),
/// }
/// # }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MigrationError {
    /// The lock was not had: no migration has run, nothing is held. From a section of your own also that the lock was
    /// lost: the [variant](NamedLockError) tells.
    #[error(transparent)]
    Lock(#[from] NamedLockError),

    /// No database is selected on this connection, so there is none to migrate. Nothing has run.
    #[error("no database is selected on this connection, so there is none to migrate: name one in its URL")]
    NoDatabase,

    /// What there is to do could not be found out, for a `KILL QUERY` that struck one of the harness's questions, say. Nothing
    /// has run; call it again.
    #[error("no migration was run or reverted: {source}")]
    #[non_exhaustive]
    Unplanned {
        /// What the server, the source of the migrations, or the harness said.
        source: Box<dyn Error + Send + Sync>,
    },

    /// A migration failed, or its session ended in the middle of it. **A part of it may be in place**: MySQL commits each
    /// `CREATE`, `ALTER` and `DROP` by itself.
    ///
    /// As long as it is so, every later run stops at this version. [`MigrationExt`](super::MigrationExt) has marked the
    /// connection broken: it may have locked tables, or another current database. Drop it.
    #[error(
        "migration {name} failed to {step} (version {version}; done before it: {}), and a part of it may be in place: \
         compare the schema with its SQL, undo or finish that part by hand, then try again; the cause: {source}",
        listed(.done)
    )]
    #[non_exhaustive]
    Failed {
        /// Whether it was to be run or reverted.
        step: Step,
        /// The version at which it stands.
        version: MigrationVersion<'static>,
        /// The migration's whole name.
        name: String,
        /// What this call had run before, or reverted, in this order.
        done: Vec<MigrationVersion<'static>>,
        /// What the server, or the harness, said.
        source: Box<dyn Error + Send + Sync>,
    },

    /// All of it succeeded, but at the end the server did not confirm that the lock was still ours.
    #[error("migrations: {} done, but perhaps not alone: {source}", listed(.done))]
    #[non_exhaustive]
    Lost {
        /// What this call ran or reverted, in this order.
        done: Vec<MigrationVersion<'static>>,
        /// What became of the lock.
        source: NamedLockError,
    },
}

impl MigrationError {
    pub(super) fn unplanned(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Unplanned { source: source.into() }
    }
}

/// What was to be done with a migration: a part of [`MigrationError::Failed`].
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
