//! The way of one section from its lock: a release, or on to the next thread.

use diesel::r2d2::{ManageConnection, PooledConnection};

use super::{
    HandedOffEvent, HeldEvent, LostEvent, NamedLockPoolBuilder,
    baton::{Baton, Chain, Held},
    queue,
};
use crate::{
    blocking::section::Begun, driver::status::NamedLockConnection, name::LockName, owned::Owned,
    section::outcome::Section,
};

pub(super) type Turn<M> = queue::Turn<LockName, Baton<M>>;
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
        options: &NamedLockPoolBuilder<M>,
        names: &[LockName],
        value: T,
        is_trusted: bool,
    ) -> Section<T> {
        let kept = self.may_hand_off(options) && self.turn.can_pass() && {
            self.begun.has_no_transaction() && (options.unconfirmed && is_trusted || self.begun.is_confirmed())
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
        report_end(options, names, &section, handed_off);
        section
    }

    /// Whether the lock may change hands once more before it is the turn of other processes.
    fn may_hand_off(&self, options: &NamedLockPoolBuilder<M>) -> bool {
        self.hands_off
            && self.chain.hand_offs < options.max_hand_offs
            && self.chain.since.elapsed() < options.max_hand_off_time
    }
}

fn report_end<M: ManageConnection, T>(
    options: &NamedLockPoolBuilder<M>,
    names: &[LockName],
    section: &Section<T>,
    handed_off: Option<u32>,
) {
    let handler = &options.event_handler;
    match &section.error {
        Some(error) => handler.handle_lost(LostEvent { names, error }),
        None => handler.handle_held(HeldEvent { names, held: section.held }),
    }
    if let Some(count) = handed_off {
        handler.handle_handed_off(HandedOffEvent { name: &names[0], count });
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
