//! An idle limit for every connection of a pool.

use diesel::r2d2::CustomizeConnection;

use crate::{
    driver::{
        blocking::{Blocking, ready},
        status::NamedLockConnection,
    },
    idle_limit::IdleLimit,
    section::idle_limit::limit_idle_time,
};

/// For the connections and errors of any manager.
impl<C, E> CustomizeConnection<C, E> for IdleLimit
where
    C: NamedLockConnection,
    E: From<diesel::result::Error>,
{
    fn on_acquire(&self, conn: &mut C) -> Result<(), E> {
        Ok(ready(limit_idle_time::<Blocking, C>(conn, *self, &mut None))?)
    }
}
