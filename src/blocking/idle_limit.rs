//! An idle limit for every connection of a pool.

use diesel::r2d2::CustomizeConnection;

use crate::{
    driver::{
        blocking::{Blocking, ready},
        status::NamedLockConnection,
    },
    idle_limit::IdleLimit,
    section::acquire::limit_idle_time,
};

/// Of whatever manager's connections and errors, Diesel's own or the application's.
impl<C, E> CustomizeConnection<C, E> for IdleLimit
where
    C: NamedLockConnection,
    E: From<diesel::result::Error>,
{
    fn on_acquire(&self, conn: &mut C) -> Result<(), E> {
        Ok(ready(limit_idle_time::<Blocking, C>(conn, *self, &mut None))?)
    }
}
