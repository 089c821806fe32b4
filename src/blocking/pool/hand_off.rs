//! The way of one section from its lock: a release, or on to the next thread.

use diesel::r2d2::{ManageConnection, PooledConnection};

use super::baton::{Baton, Held};
use crate::{
    blocking::section::Begun,
    driver::status::NamedLockConnection,
    name::LockName,
    owned::Owned,
    queue::{
        hand_offs::{Chain, HandOffs},
        line,
    },
    section::outcome::Section,
};

pub(super) type Turn<M> = line::Turn<LockName, Baton<M>>;
pub(super) type BegunPooled<M> = Begun<Owned<PooledConnection<M>>>;

/// A section that holds its lock. In a panic, the lock is released before the turns end.
pub(super) struct Entered<M>
where
    M: ManageConnection,
    PooledConnection<M>: NamedLockConnection,
{
    pub(super) begun: BegunPooled<M>,
    pub(super) turn: Turn<M>,
    pub(super) other_turns: Vec<Turn<M>>,
    pub(super) chain: Chain,
    /// Whether the lock can be handed on at all.
    pub(super) hands_off: bool,
}

impl<M> Entered<M>
where
    M: ManageConnection,
    PooledConnection<M>: NamedLockConnection,
{
    /// Its turns may move between threads from now on.
    pub(super) fn detach(&self) {
        self.turn.detach();
        self.other_turns.iter().for_each(Turn::<M>::detach);
    }

    /// Ends the section. `is_trusted`: whether the lock may be handed on without asking the server, if the pool is told to.
    pub(super) fn leave<T>(
        mut self,
        hand_offs: &HandOffs,
        names: &[LockName],
        value: T,
        is_trusted: bool,
    ) -> Section<T> {
        let kept = self.hands_off && hand_offs.may_follow(self.chain) && self.turn.can_pass() && {
            self.begun.has_no_transaction() && (hand_offs.unconfirmed && is_trusted || self.begun.is_confirmed())
        };
        let Self { begun, turn, other_turns, chain, .. } = self;
        let (section, handed_off) = if kept {
            let (Owned(conn), section, hold) = begun.keep(value);
            (section, hand_off(turn, Held { conn, hold, chain: chain.longer() }))
        } else {
            let (conn, section) = begun.finish(value);
            // Before the turn: the next one may need this very connection.
            drop(conn);
            drop(turn);
            (section, None)
        };
        drop(other_turns);
        hand_offs.report_end(names, &section, handed_off);
        section
    }
}

/// Hands the lock to the next thread, or releases it if that one has left. Returns the number of the hand-off.
fn hand_off<M>(turn: Turn<M>, held: Held<M>) -> Option<u32>
where
    M: ManageConnection,
    PooledConnection<M>: NamedLockConnection,
{
    let count = held.chain.hand_offs;
    match turn.pass(held.into_baton()) {
        Ok(()) => Some(count),
        Err((turn, baton)) => {
            drop(baton);
            drop(turn);
            None
        }
    }
}
