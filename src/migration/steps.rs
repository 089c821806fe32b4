//! Runs and reverts migrations one by one, so that an error says how far they came.

use diesel::{
    migration::{Migration, MigrationSource, MigrationVersion},
    mysql::Mysql,
};
use diesel_migrations::{MigrationError as Diesels, MigrationHarness};

use super::{MigrationError, Step};

type Version = MigrationVersion<'static>;
type AnyMigration = Box<dyn Migration<Mysql>>;

/// Runs what is pending, oldest first, and returns the versions that it ran. Acquires no lock: call it inside a section.
///
/// ```no_run
/// # use diesel::MysqlConnection;
/// # use diesel_migrations::{EmbeddedMigrations, embed_migrations};
/// # use diesel_named_lock::migration::{self, MigrationError};
/// # const MIGRATIONS: EmbeddedMigrations = embed_migrations!();
/// # fn run(conn: &mut MysqlConnection) -> Result<(), MigrationError> {
/// let lock = migration::database_lock(conn)?.wait_forever();
/// let ran = lock.run(conn, |conn| migration::run_pending(conn, MIGRATIONS))?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// Returns [`MigrationError::Unplanned`] or [`MigrationError::Failed`].
pub fn run_pending<H, S>(harness: &mut H, source: S) -> Result<Vec<MigrationVersion<'static>>, MigrationError>
where
    H: MigrationHarness<Mysql>,
    S: MigrationSource<Mysql>,
{
    let pending = harness.pending_migrations(source).map_err(MigrationError::unplanned)?;
    take_steps(harness, pending.iter().map(|migration| (Step::Run, migration)))
}

/// Reverts the last migration that was applied, and returns its version. Acquires no lock: call it inside a section.
///
/// ```no_run
/// # use diesel::MysqlConnection;
/// # use diesel_migrations::{EmbeddedMigrations, embed_migrations};
/// # use diesel_named_lock::migration::{self, MigrationError};
/// # const MIGRATIONS: EmbeddedMigrations = embed_migrations!();
/// # fn run(conn: &mut MysqlConnection) -> Result<(), MigrationError> {
/// let lock = migration::database_lock(conn)?.wait_forever();
/// let version = lock.run(conn, |conn| migration::revert_last(conn, MIGRATIONS))?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// Returns [`MigrationError::Unplanned`] if none is applied, or if the last one is not in `source`. Returns [`MigrationError::Failed`] if it
/// fails.
pub fn revert_last<H, S>(harness: &mut H, source: S) -> Result<MigrationVersion<'static>, MigrationError>
where
    H: MigrationHarness<Mysql>,
    S: MigrationSource<Mysql>,
{
    let last = last_applied(harness, source)?;
    take_steps(harness, [(Step::Revert, &last)])?;
    Ok(last.name().version().as_owned())
}

/// Reverts all migrations, newest first, and returns the versions that it reverted. Acquires no lock: call it inside
/// a section.
///
/// ```no_run
/// # use diesel::MysqlConnection;
/// # use diesel_migrations::{EmbeddedMigrations, embed_migrations};
/// # use diesel_named_lock::migration::{self, MigrationError};
/// # const MIGRATIONS: EmbeddedMigrations = embed_migrations!();
/// # fn run(conn: &mut MysqlConnection) -> Result<(), MigrationError> {
/// let lock = migration::database_lock(conn)?.wait_forever();
/// let reverted = lock.run(conn, |conn| migration::revert_all(conn, MIGRATIONS))?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// Returns [`MigrationError::Unplanned`] if an applied migration is not in `source`. Then none is reverted, unlike with Diesel's
/// `revert_all_migrations`. Returns [`MigrationError::Failed`] if one fails.
pub fn revert_all<H, S>(harness: &mut H, source: S) -> Result<Vec<MigrationVersion<'static>>, MigrationError>
where
    H: MigrationHarness<Mysql>,
    S: MigrationSource<Mysql>,
{
    let versions = harness.applied_migrations().map_err(MigrationError::unplanned)?;
    let applied = of_versions(source, versions)?;
    take_steps(harness, applied.iter().map(|migration| (Step::Revert, migration)))
}

/// Reverts the last migration that was applied, runs it again, and returns its version. Acquires no lock: call it inside a
/// section.
///
/// ```no_run
/// # use diesel::MysqlConnection;
/// # use diesel_migrations::{EmbeddedMigrations, embed_migrations};
/// # use diesel_named_lock::migration::{self, MigrationError};
/// # const MIGRATIONS: EmbeddedMigrations = embed_migrations!();
/// # fn run(conn: &mut MysqlConnection) -> Result<(), MigrationError> {
/// let lock = migration::database_lock(conn)?.wait_forever();
/// let version = lock.run(conn, |conn| migration::redo_last(conn, MIGRATIONS))?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// Returns the errors of [`revert_last`].
pub fn redo_last<H, S>(harness: &mut H, source: S) -> Result<MigrationVersion<'static>, MigrationError>
where
    H: MigrationHarness<Mysql>,
    S: MigrationSource<Mysql>,
{
    let last = last_applied(harness, source)?;
    take_steps(harness, [(Step::Revert, &last), (Step::Run, &last)])?;
    Ok(last.name().version().as_owned())
}

fn last_applied<H, S>(harness: &mut H, source: S) -> Result<AnyMigration, MigrationError>
where
    H: MigrationHarness<Mysql>,
    S: MigrationSource<Mysql>,
{
    let newest = harness.applied_migrations().map_err(MigrationError::unplanned)?.into_iter().take(1);
    of_versions(source, newest)?.pop().ok_or_else(|| MigrationError::unplanned(Diesels::NoMigrationRun))
}

/// Returns the migrations of these versions, in the same order.
fn of_versions<S>(source: S, versions: impl IntoIterator<Item = Version>) -> Result<Vec<AnyMigration>, MigrationError>
where
    S: MigrationSource<Mysql>,
{
    let mut all = source.migrations().map_err(MigrationError::unplanned)?;
    let mut take = |version: Version| match all.iter().position(|migration| migration.name().version() == version) {
        Some(index) => Ok(all.swap_remove(index)),
        None => Err(MigrationError::unplanned(Diesels::UnknownMigrationVersion(version))),
    };
    versions.into_iter().map(&mut take).collect()
}

fn take_steps<'m, H>(
    harness: &mut H,
    steps: impl IntoIterator<Item = (Step, &'m AnyMigration)>,
) -> Result<Vec<Version>, MigrationError>
where
    H: MigrationHarness<Mysql>,
{
    let mut done = Vec::new();
    for (step, migration) in steps {
        let outcome = match step {
            Step::Run => harness.run_migration(migration),
            Step::Revert => harness.revert_migration(migration),
        };
        match outcome {
            Ok(version) => done.push(version),
            Err(source) => {
                let name = migration.name();
                let (version, name) = (name.version().as_owned(), name.to_string());
                return Err(MigrationError::Failed { step, version, name, done, source });
            }
        }
    }
    Ok(done)
}
