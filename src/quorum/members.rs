//! The members of a lock, for all threads of a section.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{membership::Membership, node_set::NodeSet, protocol::Rules};

/// The nodes that hold the lock, as far as is known.
pub(super) struct Members {
    rules: Rules,
    /// A member that was silent for longer is lost.
    longest_silence: Duration,
    known: Mutex<Known>,
    loss: Condvar,
}

struct Known {
    /// `None` before the closure begins.
    membership: Option<Membership<Instant>>,
    /// The closure is over. Nothing changes any more.
    has_ended: bool,
    /// Those that are lost before the closure begins.
    lost_early: NodeSet,
    /// When each node granted the lock, or when the last answered question was sent.
    heard: Vec<Instant>,
    /// Why each node was lost. `None`: it is not, or it was silent.
    reasons: Vec<Option<String>>,
    /// The thread of each node that is listened to.
    speakers: Vec<Option<usize>>,
}

/// A thread that speaks of a node.
#[derive(Clone, Copy)]
pub(super) struct Voice {
    pub(super) node: usize,
    pub(super) thread: usize,
}

impl Members {
    pub(super) fn new(rules: Rules, longest_silence: Duration) -> Self {
        let heard = vec![Instant::now(); rules.nodes];
        let (lost_early, reasons, speakers) = (NodeSet::default(), vec![None; rules.nodes], vec![None; rules.nodes]);
        let known = Known { membership: None, has_ended: false, lost_early, heard, reasons, speakers };
        Self { rules, longest_silence, known: Mutex::new(known), loss: Condvar::new() }
    }

    /// From now on, what this thread says of the node counts, and what another one says does not. `None`: nobody is heard.
    pub(super) fn listen_to(&self, node: usize, thread: Option<usize>) {
        self.lock().speakers[node] = thread;
    }

    /// The node has granted the lock, before the closure begins.
    pub(super) fn grant(&self, node: usize) {
        self.lock().heard[node] = Instant::now();
    }

    /// The closure begins.
    pub(super) fn begin(&self, members: NodeSet) {
        let mut known = self.lock();
        known.membership = Some(Membership::new(self.rules, members - known.lost_early));
    }

    /// The closure is over. From now on, no session may take the place of one that is lost. Returns the members.
    pub(super) fn end(&self) -> NodeSet {
        let mut known = self.lock();
        let members = known.present(self.longest_silence);
        known.has_ended = true;
        members
    }

    pub(super) fn is_open(&self) -> bool {
        self.lock().open().is_some()
    }

    /// Another session has acquired the lock on this node, while the closure runs.
    pub(super) fn acquire(&self, Voice { node, thread }: Voice) {
        let mut known = self.lock();
        let now = Instant::now();
        if known.speakers[node] == Some(thread) {
            known.heard[node] = now;
            known.open().into_iter().for_each(|membership| membership.acquire(node, now));
        }
    }

    /// The session has answered that it holds the lock, to a question that was sent at `sent`.
    pub(super) fn hear(&self, Voice { node, thread }: Voice, sent: Instant) {
        let mut known = self.lock();
        if known.speakers[node] != Some(thread) {
            return;
        }
        (known.heard[node], known.reasons[node]) = (sent, None);
        // One that is lost already by its silence must prove nothing.
        known.present(self.longest_silence);
        let Some(membership) = known.open() else { return };
        if membership.has(node) {
            membership.hear(node, &sent);
        } else {
            // It was silent for too long, and holds the lock nevertheless. That counts as if it had been acquired again.
            membership.acquire(node, Instant::now());
        }
    }

    /// The session could not be asked, for a reason that says nothing about it. That proves nothing, but is no silence either.
    pub(super) fn excuse(&self, Voice { node, thread }: Voice) {
        let mut known = self.lock();
        if known.speakers[node] == Some(thread) {
            known.heard[node] = Instant::now();
        }
    }

    pub(super) fn lose(&self, Voice { node, thread }: Voice, reason: String) {
        if self.lock().speakers[node] == Some(thread) {
            self.lose_node(node, reason);
        }
    }

    pub(super) fn lose_node(&self, node: usize, reason: String) {
        let mut known = self.lock();
        known.reasons[node] = Some(reason);
        if known.membership.is_none() {
            known.lost_early.insert(node);
        }
        known.open().into_iter().for_each(|membership| membership.lose(node));
        self.loss.notify_all();
    }

    /// Why a node that is no member any more was lost.
    pub(super) fn reason(&self, node: usize) -> String {
        self.lock().reasons[node].clone().unwrap_or_else(|| "no answer for too long".to_owned())
    }

    /// Those that are not lost.
    pub(super) fn present(&self) -> NodeSet {
        self.lock().present(self.longest_silence)
    }

    pub(super) fn is_lost(&self) -> bool {
        !self.rules.is_enough(self.present())
    }

    /// Waits until too few are left, for this time at most.
    pub(super) fn lost(&self, timeout: Duration) -> bool {
        let start = Instant::now();
        let mut known = self.lock();
        loop {
            let present = known.present(self.longest_silence);
            let left = timeout.saturating_sub(start.elapsed());
            let is_lost = !self.rules.is_enough(present);
            if is_lost || left.is_zero() {
                return is_lost;
            }
            let silent_in = |node: usize| self.longest_silence.saturating_sub(known.heard[node].elapsed());
            let left = match known.has_ended {
                true => left,
                false => present.iter().map(silent_in).fold(left, Duration::min),
            };
            known = self.loss.wait_timeout(known, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// While the closure runs.
    fn open(&mut self) -> Option<&mut Membership<Instant>> {
        self.membership.as_mut().filter(|_| !self.has_ended)
    }

    fn present(&mut self, longest_silence: Duration) -> NodeSet {
        let Some(membership) = &mut self.membership else { return NodeSet::default() };
        let is_silent = |node: &usize| !self.has_ended && self.heard[*node].elapsed() >= longest_silence;
        for node in membership.members().iter().filter(is_silent) {
            membership.lose(node);
        }
        membership.members()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOR_EVER: Duration = Duration::MAX;

    fn of_three(longest_silence: Duration) -> Members {
        let members = Members::new(Rules::new(3, None), longest_silence);
        (0..3).for_each(|node| members.listen_to(node, Some(node)));
        members.begin(NodeSet::first(3));
        members
    }

    fn of(node: usize) -> Voice {
        Voice { node, thread: node }
    }

    fn killed() -> String {
        "killed".to_owned()
    }

    fn nodes<const N: usize>(nodes: [usize; N]) -> NodeSet {
        nodes.into_iter().collect()
    }

    #[test]
    fn a_node_that_is_acquired_again_counts_once_a_majority_has_answered_since() {
        let members = of_three(FOR_EVER);
        let before = Instant::now();
        members.lose(of(2), killed());
        members.acquire(of(2));
        for node in [0, 1, 2] {
            members.hear(of(node), before);
        }
        assert_eq!(members.present(), nodes([0, 1]), "the questions were sent before the grant");
        members.hear(of(0), Instant::now());
        members.hear(of(2), Instant::now());
        assert_eq!(members.present(), nodes([0, 1]), "one of three has answered");
        members.excuse(of(1));
        assert_eq!(members.present(), nodes([0, 1]), "who was not asked has not answered");
        members.hear(of(1), Instant::now());
        assert_eq!(members.present(), nodes([0, 1, 2]));
    }

    #[test]
    fn a_lock_that_was_lost_stays_lost() {
        let members = of_three(FOR_EVER);
        members.lose(of(1), killed());
        members.lose(of(2), killed());
        assert!(members.is_lost() && members.lost(FOR_EVER));
        for node in [1, 2] {
            members.acquire(of(node));
        }
        for node in [0, 1, 2] {
            members.hear(of(node), Instant::now());
        }
        assert!(members.is_lost());
    }

    #[test]
    fn a_thread_that_nobody_listens_to_any_more_says_nothing() {
        let members = of_three(FOR_EVER);
        members.lose(of(2), killed());
        members.listen_to(2, Some(7));
        members.acquire(of(2));
        members.hear(of(2), Instant::now());
        for node in [0, 1] {
            members.hear(of(node), Instant::now());
        }
        assert_eq!(members.present(), nodes([0, 1]), "its session is another one than that of the new thread");
        members.lose(of(0), killed());
        members.listen_to(1, None);
        members.lose(of(1), killed());
        assert_eq!(members.present(), nodes([1]));
    }

    #[test]
    fn a_node_that_was_lost_before_the_closure_began_is_no_member() {
        let members = Members::new(Rules::new(3, None), FOR_EVER);
        members.listen_to(0, Some(0));
        members.lose(of(0), killed());
        members.begin(NodeSet::first(3));
        assert_eq!(members.present(), nodes([1, 2]));
    }

    #[test]
    fn silence_loses_a_node() {
        let members = of_three(Duration::from_millis(20));
        assert!(members.lost(FOR_EVER), "nobody has answered");
        members.hear(of(0), Instant::now());
        assert!(members.is_lost(), "it was told");
    }

    /// Otherwise, the release of another session could confirm what that one has not held.
    #[test]
    fn after_the_end_no_session_takes_the_place_of_one_that_is_lost() {
        let members = of_three(FOR_EVER);
        assert!(members.is_open());
        assert_eq!(members.end(), nodes([0, 1, 2]));
        assert!(!members.is_open());
        members.lose(of(0), killed());
        members.acquire(of(0));
        assert_eq!(members.present(), nodes([0, 1, 2]));
    }
}
