//! The way of one section from its lock: a release, or on to the next task.

use log::{debug, warn};

use super::{ConnectionPool, rescue::Rescue};
use crate::{
    driver::nonblocking::Nonblocking,
    log_target::TARGET,
    name::LockName,
    nonblocking::{
        OwnedConnection,
        armed::Armed,
        section::{Begun, Finished},
    },
    owned::Owned,
    queue::{
        hand_offs::{Chain, HandOffs},
        line,
        tasks::Tasks,
    },
    section::outcome::Section,
};

pub(super) type Turn<P> = line::Turn<LockName, Baton<P>, Tasks>;

/// What passes from one task to the next: a connection whose session was just seen to hold the lock. If it is dropped, the connection
/// is closed.
pub(super) struct Baton<P: ConnectionPool> {
    pub(super) armed: Armed<Owned<P::Connection>>,
    pub(super) chain: Chain,
}

/// A section that holds its lock. If it is dropped, its session is given up before its turns end: in the order of these fields.
pub(super) struct Entered<P: ConnectionPool> {
    pub(super) begun: Begun<Owned<P::Connection>>,
    pub(super) rescue: Rescue<P>,
    pub(super) turn: Turn<P>,
    pub(super) other_turns: Vec<Turn<P>>,
    pub(super) chain: Chain,
    /// Whether the lock can be handed on at all.
    pub(super) hands_off: bool,
}

impl<P: ConnectionPool> Entered<P> {
    /// Ends the section. The lock is handed on only if the server says that it is held: a statement that the closure has dropped may have
    /// left the connection out of step.
    pub(super) async fn leave<T>(mut self, hand_offs: &HandOffs, names: &[LockName], value: T) -> Section<T> {
        let is_kept = self.hands_off && hand_offs.may_follow(self.chain) && self.turn.can_pass() && {
            self.begun.has_no_transaction() && self.begun.is_confirmed().await
        };
        let (section, handed_off) = if is_kept { self.hand_off(value).await } else { (self.end(value).await, None) };
        hand_offs.report_end(names, &section, handed_off);
        section
    }

    pub(super) async fn end<T>(self, value: T) -> Section<T> {
        let Self { begun, mut rescue, turn, other_turns, .. } = self;
        let Finished { conn, section, was_killed } = begun.finish(value).await;
        if !was_killed {
            rescue.disarm();
        }
        // Before the turn: the next one may need this very connection.
        drop(conn);
        drop(rescue);
        drop((turn, other_turns));
        section
    }

    /// Hands the lock to the next task, or releases it if that one has left. Returns the number of the hand-off.
    async fn hand_off<T>(self, value: T) -> (Section<T>, Option<u32>) {
        let Self { begun, mut rescue, turn, chain, .. } = self;
        let (section, armed) = begun.keep(value);
        let chain = chain.longer();
        match turn.pass(Baton { armed, chain }) {
            Ok(()) => {
                rescue.disarm();
                (section, Some(chain.hand_offs))
            }
            Err((turn, baton)) => {
                if !release_kept(baton.armed).await {
                    rescue.disarm();
                }
                drop(rescue);
                drop(turn);
                (section, None)
            }
        }
    }
}

/// Releases locks that were kept for a section which did not come. Returns whether the session was killed.
async fn release_kept<C: OwnedConnection>(mut armed: Armed<Owned<C>>) -> bool {
    let (conn, hold) = armed.parts();
    let released = hold.release::<Nonblocking, C>(conn).await;
    let connection = hold.session().get();
    match released {
        Ok(()) => debug!(target: TARGET, connection; "released {}", hold.names()),
        // The section before was alone: it has seen the lock held at its end.
        Err(error) => warn!(target: TARGET, connection; "{}, kept and then not used: {error}", hold.names()),
    }
    let was_killed = hold.was_killed();
    drop(armed.disarm());
    was_killed
}
