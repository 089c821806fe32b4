//! A harness that commits each step.

use diesel::{
    migration::{Migration, MigrationVersion, Result},
    mysql::Mysql,
};
use diesel_migrations::MigrationHarness;

use crate::{
    driver::{MysqlSession, retry::retry},
    statement::transaction::commit,
};

/// Diesel records a migration that asked for no transaction by a plain statement: without autocommit, it would not be
/// recorded when the connection is closed.
pub(super) struct Committing<'c, C>(pub(super) &'c mut C);

impl<C: MysqlSession + MigrationHarness<Mysql>> MigrationHarness<Mysql> for Committing<'_, C> {
    fn run_migration(&mut self, migration: &dyn Migration<Mysql>) -> Result<MigrationVersion<'static>> {
        let version = self.0.run_migration(migration)?;
        retry(self.0, commit)?;
        Ok(version)
    }

    fn revert_migration(&mut self, migration: &dyn Migration<Mysql>) -> Result<MigrationVersion<'static>> {
        let version = self.0.revert_migration(migration)?;
        retry(self.0, commit)?;
        Ok(version)
    }

    fn applied_migrations(&mut self) -> Result<Vec<MigrationVersion<'static>>> {
        self.0.applied_migrations()
    }
}
