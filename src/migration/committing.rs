//! A harness that commits each step.

use diesel::{
    migration::{Migration, MigrationVersion, Result},
    mysql::Mysql,
};
use diesel_migrations::MigrationHarness;

use crate::{
    driver::{
        blocking::{Blocking, ready},
        status::NamedLockConnection,
    },
    statement::transaction::{commit, commit_again},
};

/// Diesel records a migration that runs without a transaction by a plain statement. Without autocommit, that record would be lost when the
/// connection is closed.
pub(super) struct Committing<'c, C>(pub(super) &'c mut C);

impl<C: NamedLockConnection + MigrationHarness<Mysql>> Committing<'_, C> {
    /// On MariaDB, a commit that waits for a backup and is killed is a rollback. Then there is nothing left to commit.
    fn commit(&mut self, version: &MigrationVersion<'_>, applied: bool) -> Result<()> {
        let Err(first) = ready(commit::<Blocking, C>(self.0)) else { return Ok(()) };
        ready(commit_again::<Blocking, C>(self.0)).map_err(|failed| failed.error)?;
        if self.0.applied_migrations()?.contains(version) == applied { Ok(()) } else { Err(first.into()) }
    }
}

impl<C: NamedLockConnection + MigrationHarness<Mysql>> MigrationHarness<Mysql> for Committing<'_, C> {
    fn run_migration(&mut self, migration: &dyn Migration<Mysql>) -> Result<MigrationVersion<'static>> {
        let version = self.0.run_migration(migration)?;
        self.commit(&version, true)?;
        Ok(version)
    }

    fn revert_migration(&mut self, migration: &dyn Migration<Mysql>) -> Result<MigrationVersion<'static>> {
        let version = self.0.revert_migration(migration)?;
        self.commit(&version, false)?;
        Ok(version)
    }

    fn applied_migrations(&mut self) -> Result<Vec<MigrationVersion<'static>>> {
        self.0.applied_migrations()
    }
}
