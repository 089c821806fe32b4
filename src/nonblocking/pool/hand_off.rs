//! The end of a section: a release, or a hand-off to the next task.

use super::{ConnectionPool, rescue::Rescue};
use crate::{
    driver::{nonblocking::Nonblocking, status::nonblocking as status},
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
    section::{log_line, outcome::Section},
};

pub(super) type Turn<P> = line::Turn<LockName, Baton<P>, Tasks>;

/// The connection that is handed off from one task to the next. Its session was just seen to hold the lock. If it is dropped, the connection
/// is closed.
pub(super) struct Baton<P: ConnectionPool> {
    pub(super) armed: Armed<Owned<P::Connection>>,
    pub(super) chain: Chain,
}

/// A section that holds its lock. If it is dropped, its session is given up before its turns end: in the order of these fields.
pub(super) struct Entered<P: ConnectionPool> {
    pub(super) begun: Begun<Owned<P::Connection>>,
    pub(super) rescue: Rescue<P>,
    /// `None` if another task may acquire such a lock, too.
    pub(super) turn: Option<Turn<P>>,
    pub(super) other_turns: Vec<Turn<P>>,
    pub(super) chain: Chain,
    /// Whether the lock can be handed off at all.
    pub(super) hands_off: bool,
}

impl<P: ConnectionPool> Entered<P> {
    /// Ends the section. The lock is handed off only if the server says that it is held: a statement that the closure has dropped may have
    /// left the connection out of step.
    pub(super) async fn leave<T>(mut self, hand_offs: &HandOffs, names: &[LockName], value: T) -> Section<T> {
        let can_pass = self.turn.as_ref().is_some_and(Turn::<P>::can_pass);
        let is_kept = self.hands_off && hand_offs.may_follow(self.chain) && can_pass && {
            self.begun.has_no_transaction() && self.begun.is_confirmed().await
        };
        let (section, handed_off) = if is_kept { self.hand_off(value).await } else { (self.end(value).await, None) };
        hand_offs.report_end(names, &section, handed_off);
        section
    }

    /// Ends the section after a panic of the closure, whose raw SQL may have left a transaction in the session.
    pub(super) async fn end_after_panic(self) {
        let _ = self.end_and((), status::mark_broken).await;
    }

    async fn end<T>(self, value: T) -> Section<T> {
        self.end_and(value, |_| ()).await
    }

    async fn end_and<T>(self, value: T, then: fn(&mut P::Connection)) -> Section<T> {
        let Self { begun, mut rescue, turn, other_turns, .. } = self;
        let Finished { mut conn, section, was_killed } = begun.finish(value).await;
        then(&mut conn);
        if !was_killed {
            rescue.disarm();
        }
        // Before the turn ends, because the next task may need this connection.
        drop(conn);
        drop(rescue);
        drop((turn, other_turns));
        section
    }

    /// Hands off the lock to the next task, or releases it if that task has left. Returns the number of the hand-off.
    async fn hand_off<T>(self, value: T) -> (Section<T>, Option<u32>) {
        let Self { begun, mut rescue, turn, chain, .. } = self;
        let (section, armed) = begun.keep(value);
        let chain = chain.longer();
        match turn.expect(HAS_TURN).pass(Baton { armed, chain }) {
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

/// Releases locks that were kept for a section that did not come. Returns whether the session was killed.
async fn release_kept<C: OwnedConnection>(mut armed: Armed<Owned<C>>) -> bool {
    let (conn, hold) = armed.parts();
    let released = hold.release::<Nonblocking, C>(conn).await;
    log_line::kept_in_vain(hold, &released);
    let was_killed = hold.was_killed();
    drop(armed.disarm());
    was_killed
}

const HAS_TURN: &str = "a lock that is handed off is in its turn";
