//! The end of a section: a release, or a hand-off to the next thread.

use diesel::r2d2::{ManageConnection, PooledConnection};

use super::{
    NamedLockPoolBuilder,
    baton::{Baton, Held},
    proof::{Holder, Proofs, may_join, wait_for_proof},
};
use crate::{
    blocking::section::{Begun, was_held},
    driver::status::NamedLockConnection,
    name::LockName,
    owned::Owned,
    queue::{
        group::Member,
        hand_offs::{Chain, HandOffs},
        line,
    },
    section::outcome::Section,
};

pub(super) type Turn<M> = line::Turn<LockName, Baton<M>>;
pub(super) type BegunPooled<M> = Begun<Owned<PooledConnection<M>>>;

/// A section that holds its lock. If it is dropped, the lock is released before the turns end.
pub(super) struct Entered<M>
where
    M: ManageConnection,
    PooledConnection<M>: NamedLockConnection,
{
    pub(super) begun: BegunPooled<M>,
    /// `None` if another thread may acquire such a lock, too.
    pub(super) turn: Option<Turn<M>>,
    pub(super) other_turns: Vec<Turn<M>>,
    pub(super) chain: Chain,
    /// The hand-offs so far, if the pool confirms in groups.
    pub(super) proofs: Option<Proofs>,
    /// Whether the lock can be handed off at all.
    pub(super) hands_off: bool,
}

impl<M> Entered<M>
where
    M: ManageConnection,
    PooledConnection<M>: NamedLockConnection,
{
    /// From now on, its turns may move between threads.
    pub(super) fn detach(&self) {
        self.turn.iter().chain(&self.other_turns).for_each(Turn::<M>::detach);
    }

    /// Ends the section. `is_trusted` says whether the lock may be handed off before it is proven to be held, if the pool confirms in groups.
    pub(super) fn leave<T>(
        mut self,
        options: &NamedLockPoolBuilder<M>,
        names: &[LockName],
        value: T,
        is_trusted: bool,
    ) -> Section<T> {
        let hand_offs = &options.hand_offs;
        let (section, handed_off) = if !self.can_hand_off(hand_offs) {
            (self.release(value), None)
        } else if let Some(member) = self.join_group(is_trusted) {
            let (mut section, handed_off) = self.hand_off(value);
            section.error = wait_for_proof(&member, &names[0], &options.pool);
            (section, handed_off)
        } else if self.is_confirmed(hand_offs.group_confirmation) {
            self.hand_off(value)
        } else {
            (self.release(value), None)
        };
        hand_offs.report_end(names, &section, handed_off);
        section
    }

    fn can_hand_off(&mut self, hand_offs: &HandOffs) -> bool {
        let can_pass = || self.turn.as_ref().is_some_and(Turn::<M>::can_pass);
        self.hands_off && hand_offs.may_follow(self.chain) && can_pass() && self.begun.has_no_transaction()
    }

    /// A thread with another turn does not join: another thread may wait for that turn, and this one then for a proof by the other.
    fn join_group(&self, is_trusted: bool) -> Option<Member<Holder>> {
        let proofs = self.proofs.as_ref().filter(|proofs| is_trusted && may_join(proofs, self.begun.held()))?;
        self.turn.as_ref()?.is_only_one().then(|| proofs.join())
    }

    /// Asks for the sections before this one, if they wait for a proof.
    pub(super) fn prove(&mut self) {
        if self.proofs.as_ref().is_some_and(|proofs| proofs.unproven() > 0) {
            self.is_confirmed(true);
        }
    }

    /// Whether the server says that the lock is held. The first answer starts a group, and each later answer proves the group so far.
    fn is_confirmed(&mut self, is_grouped: bool) -> bool {
        match &self.proofs {
            None if is_grouped => {
                let session = self.begun.session();
                self.proofs = self.begun.confirmed_on().map(|server| Proofs::new(Holder { session, server }));
                self.proofs.is_some()
            }
            proofs => {
                let is_confirmed = self.begun.is_confirmed();
                proofs.iter().filter(|_| is_confirmed).for_each(Proofs::prove);
                is_confirmed
            }
        }
    }

    fn release<T>(self, value: T) -> Section<T> {
        let Self { begun, turn, other_turns, proofs, .. } = self;
        let (conn, section) = begun.finish(value);
        proofs.into_iter().for_each(|proofs| proofs.end(was_held(section.error.as_ref())));
        // Before the turn ends, because the next thread may need this connection.
        drop(conn);
        drop((turn, other_turns));
        section
    }

    /// Ends the section after a panic of the closure. Nothing panics here again.
    pub(super) fn end_after_panic(self) {
        let Self { begun, turn, other_turns, proofs, .. } = self;
        let (conn, was_held) = begun.end_after_panic();
        proofs.into_iter().for_each(|proofs| proofs.end(was_held));
        drop(conn);
        drop((turn, other_turns));
    }

    /// Hands off the lock to the next thread, or releases it if that thread has left. Returns the number of the hand-off.
    fn hand_off<T>(self, value: T) -> (Section<T>, Option<u32>) {
        let Self { begun, turn, chain, proofs, .. } = self;
        let (Owned(conn), section, hold) = begun.keep(value);
        let chain = chain.longer();
        match turn.expect(HAS_TURN).pass(Held { conn, hold, chain, proofs }.into_baton()) {
            Ok(()) => (section, Some(chain.hand_offs)),
            Err((turn, baton)) => {
                drop(baton);
                drop(turn);
                (section, None)
            }
        }
    }
}

const HAS_TURN: &str = "a lock that is handed off is in its turn";
