//! The connection that is handed off from one thread to the next, with the lock.

use diesel::r2d2::{ManageConnection, PooledConnection};
use scopeguard::ScopeGuard;

use super::proof::Proofs;
use crate::{
    blocking::section::release_kept, driver::status::NamedLockConnection, queue::hand_offs::Chain, section::Hold,
};

/// Releases the lock when it is dropped anywhere on its way.
pub(super) type Baton<M> = ScopeGuard<Held<M>, fn(Held<M>)>;

/// A connection whose session holds the lock: the server has just confirmed that, or it is still to be proven.
pub(super) struct Held<M: ManageConnection> {
    pub(super) conn: PooledConnection<M>,
    pub(super) hold: Hold,
    pub(super) chain: Chain,
    pub(super) proofs: Option<Proofs>,
}

impl<M> Held<M>
where
    M: ManageConnection,
    PooledConnection<M>: NamedLockConnection,
{
    pub(super) fn into_baton(self) -> Baton<M> {
        scopeguard::guard(self, |held| {
            let Self { mut conn, hold, proofs, .. } = held;
            let was_held = release_kept(&mut conn, hold);
            proofs.into_iter().for_each(|proofs| proofs.end(was_held));
        })
    }
}
