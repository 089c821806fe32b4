//! What passes from one thread to the next: a connection whose session holds the lock.

use diesel::r2d2::{ManageConnection, PooledConnection};
use scopeguard::ScopeGuard;

use crate::{
    blocking::section::release_kept, driver::status::NamedLockConnection, queue::hand_offs::Chain, section::Hold,
};

/// Releases the lock when it is dropped, wherever it got stuck.
pub(super) type Baton<M> = ScopeGuard<Held<M>, fn(Held<M>)>;

/// A connection whose session was just seen to hold the lock.
pub(super) struct Held<M: ManageConnection> {
    pub(super) conn: PooledConnection<M>,
    pub(super) hold: Hold,
    pub(super) chain: Chain,
}

impl<M> Held<M>
where
    M: ManageConnection,
    PooledConnection<M>: NamedLockConnection,
{
    pub(super) fn into_baton(self) -> Baton<M> {
        scopeguard::guard(self, |mut held| release_kept(&mut held.conn, held.hold))
    }
}
