//! The queue of this process for each key: first come, first served. No SQL, no Diesel. Model-checked by `tests/queue-model`.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
};

use super::sync::{Arc, Condvar, Deadline, Mutex, ThreadId, current, lock, wait};

/// One line for each key. The owner of the turn may pass a baton to the next entry. A clone is the same queue.
pub(crate) struct Queue<K, B, W: Waits = Threads>(Arc<Mutex<Lines<K, B, W>>>);

/// An entry of a line, which can be called.
pub(crate) trait Waits {
    type Who: Copy + Eq;
    type Notice;

    fn call(notice: &Self::Notice);
}

/// A thread in line blocks.
pub(crate) struct Threads;

impl Waits for Threads {
    type Who = ThreadId;
    type Notice = Condvar;

    fn call(notice: &Condvar) {
        notice.notify_one();
    }
}

struct Lines<K, B, W: Waits> {
    /// Only lines that are not empty. Each thread is in a line at most once.
    by_key: HashMap<K, Line<B, W>>,
}

struct Line<B, W: Waits> {
    /// The thread whose turn it is. `None` if the turn may move between threads.
    turn: Option<W::Who>,
    /// The session that holds the lock in this turn. `None` until it has acquired the lock.
    holder: Option<u64>,
    /// Passed to the new owner of the turn, who has not picked it up yet.
    baton: Option<B>,
    waiting: VecDeque<Waiter<W>>,
}

struct Waiter<W: Waits> {
    who: W::Who,
    takes_baton: bool,
    called: Arc<W::Notice>,
}

/// The reason why there is no turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoTurn {
    /// The turn did not come in time.
    TimedOut,
    /// This same thread already has the turn.
    OwnTurn,
    /// The current owner is waiting, directly or indirectly, for a turn that this thread owns.
    Circle,
}

impl<K: Eq + Hash + Clone, B> Queue<K, B> {
    /// Waits for the turn, with which a baton may come. `takes_baton` says whether this thread can use a baton.
    pub(crate) fn enter(
        &self,
        key: &K,
        deadline: Deadline,
        takes_baton: bool,
    ) -> Result<(Turn<K, B>, Option<B>), NoTurn> {
        let me = current().id();
        let mut lines = lock(&self.0);
        if lines.begin(key, me) {
            return Ok((Turn::new(self, key), None));
        }
        lines.refuse_circle(key, me)?;
        let called = Arc::new(Condvar::new());
        lines.line_up(key, Waiter { who: me, takes_baton, called: called.clone() });
        loop {
            let (guard, timed_out) = wait(&called, lines, deadline);
            lines = guard;
            let line = lines.line(key);
            // Checked first: a thread that is called at the last moment has the turn, and must use it or pass it on.
            if line.turn == Some(me) {
                return Ok((Turn::new(self, key), line.baton.take()));
            }
            if timed_out {
                line.leave(me);
                return Err(NoTurn::TimedOut);
            }
        }
    }
}

impl<K: Eq + Hash + Clone, B, W: Waits> Queue<K, B, W> {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Lines { by_key: HashMap::new() })))
    }

    /// Takes the turn if it is free. Otherwise takes a place in line, which is called by `called`.
    pub(crate) fn line_up(
        &self,
        key: &K,
        who: W::Who,
        takes_baton: bool,
        called: Arc<W::Notice>,
    ) -> Result<Turn<K, B, W>, Place<K, B, W>> {
        let mut lines = lock(&self.0);
        if lines.begin(key, who) {
            return Ok(Turn::new(self, key));
        }
        lines.line_up(key, Waiter { who, takes_baton, called });
        Err(Place { queue: self.clone(), key: key.clone(), who, is_left: false })
    }

    /// Returns the session that holds the lock in the current turn, if there is one.
    pub(crate) fn holder(&self, key: &K) -> Option<u64> {
        lock(&self.0).by_key.get(key)?.holder
    }

    /// The number of entries that wait for the turn.
    pub(crate) fn waiting(&self, key: &K) -> usize {
        lock(&self.0).by_key.get(key).map_or(0, |line| line.waiting.len())
    }

    /// The same for all keys together.
    pub(crate) fn total_waiting(&self) -> usize {
        lock(&self.0).by_key.values().map(|line| line.waiting.len()).sum()
    }
}

impl<K, B, W: Waits> Clone for Queue<K, B, W> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K: Eq + Hash + Clone, B, W: Waits> Lines<K, B, W> {
    /// If the line is empty, the turn comes at once.
    fn begin(&mut self, key: &K, turn: W::Who) -> bool {
        let free = !self.by_key.contains_key(key);
        if free {
            self.by_key
                .insert(key.clone(), Line { turn: Some(turn), holder: None, baton: None, waiting: VecDeque::new() });
        }
        free
    }

    fn line_up(&mut self, key: &K, waiter: Waiter<W>) {
        self.line(key).waiting.push_back(waiter);
    }

    fn line(&mut self, key: &K) -> &mut Line<B, W> {
        self.by_key.get_mut(key).expect("a line stays while it has an entry")
    }

    /// Gives the turn to the next entry, and returns it to be notified. Removes the line if it is empty.
    fn call_next(&mut self, key: &K, baton: Option<B>) -> Option<Arc<W::Notice>> {
        let line = self.line(key);
        let Some(next) = line.waiting.pop_front() else {
            self.by_key.remove(key);
            return None;
        };
        line.turn = Some(next.who);
        line.holder = None;
        line.baton = baton;
        Some(next.called)
    }

    fn refuse_circle(&mut self, key: &K, me: W::Who) -> Result<(), NoTurn> {
        let mut in_front = self.line(key).turn;
        if in_front == Some(me) {
            return Err(NoTurn::OwnTurn);
        }
        // Most threads have no turn at all, so no thread waits for them.
        if self.by_key.values().all(|line| line.turn != Some(me)) {
            return Ok(());
        }
        // This ends, because a thread waits in one line at most, and the threads that are already in line are in no circle.
        while let Some(line) = in_front.and_then(|who| self.by_key.values().find(|line| line.has_waiting(who))) {
            in_front = line.turn;
            if in_front == Some(me) {
                return Err(NoTurn::Circle);
            }
        }
        Ok(())
    }
}

impl<B, W: Waits> Line<B, W> {
    fn leave(&mut self, who: W::Who) {
        self.waiting.retain(|waiter| waiter.who != who);
    }

    fn next_takes_baton(&self) -> bool {
        self.waiting.front().is_some_and(|next| next.takes_baton)
    }

    fn has_waiting(&self, who: W::Who) -> bool {
        self.waiting.iter().any(|waiter| waiter.who == who)
    }
}

/// A place in line. If it is dropped, it leaves the line. If its turn had already come, the next entry gets the turn, with the baton.
pub(crate) struct Place<K: Eq + Hash + Clone, B, W: Waits> {
    queue: Queue<K, B, W>,
    key: K,
    who: W::Who,
    is_left: bool,
}

impl<K: Eq + Hash + Clone, B, W: Waits> Place<K, B, W> {
    /// Returns the turn if it has come, with the baton that may come with it. Ask again when called.
    pub(crate) fn take_turn(&mut self) -> Option<(Turn<K, B, W>, Option<B>)> {
        self.take_turn_or(|_| ())
    }

    fn take_turn_or(&mut self, or: impl FnOnce(&mut Line<B, W>)) -> Option<(Turn<K, B, W>, Option<B>)> {
        let mut lines = lock(&self.queue.0);
        let line = lines.line(&self.key);
        if line.turn != Some(self.who) {
            or(line);
            return None;
        }
        self.is_left = true;
        Some((Turn::new(&self.queue, &self.key), line.baton.take()))
    }
}

impl<K: Eq + Hash + Clone, B, W: Waits> Drop for Place<K, B, W> {
    fn drop(&mut self) {
        if self.is_left {
            return;
        }
        let who = self.who;
        let Some((turn, Some(baton))) = self.take_turn_or(|line| line.leave(who)) else { return };
        if let Err((turn, baton)) = turn.pass(baton) {
            // The next entry, if any, acquires the lock, so the lock must be free.
            drop(baton);
            drop(turn);
        }
    }
}

/// The turn. When it is dropped, also by a panic, the next entry gets it.
#[must_use = "a turn that is dropped has ended"]
pub(crate) struct Turn<K: Eq + Hash + Clone, B, W: Waits = Threads> {
    queue: Queue<K, B, W>,
    key: K,
    ended: bool,
}

impl<K: Eq + Hash + Clone, B, W: Waits> Turn<K, B, W> {
    fn new(queue: &Queue<K, B, W>, key: &K) -> Self {
        Self { queue: queue.clone(), key: key.clone(), ended: false }
    }

    /// From now on, the turn belongs to no thread, and may move between threads. No thread is refused because of it.
    pub(crate) fn detach(&self) {
        lock(&self.queue.0).line(&self.key).turn = None;
    }

    /// Sets the session that holds the lock, for the errors of those who wait.
    pub(crate) fn set_holder(&self, session: u64) {
        lock(&self.queue.0).line(&self.key).holder = Some(session);
    }

    /// Whether there is a next entry that can use a baton. It may leave at any time.
    pub(crate) fn can_pass(&self) -> bool {
        lock(&self.queue.0).line(&self.key).next_takes_baton()
    }

    /// Ends the turn and passes the baton to the next entry. If there is none that can use it, returns both.
    pub(crate) fn pass(mut self, baton: B) -> Result<(), (Self, B)> {
        let mut lines = lock(&self.queue.0);
        if !lines.line(&self.key).next_takes_baton() {
            drop(lines);
            return Err((self, baton));
        }
        let called = lines.call_next(&self.key, Some(baton));
        drop(lines);
        self.ended = true;
        called.iter().for_each(|next| W::call(next));
        Ok(())
    }
}

impl<K: Eq + Hash + Clone, B> Turn<K, B> {
    /// Whether this thread has no other turn.
    pub(crate) fn is_only_one(&self) -> bool {
        let me = Some(current().id());
        lock(&self.queue.0).by_key.iter().all(|(key, line)| line.turn != me || *key == self.key)
    }
}

impl<K: Eq + Hash + Clone, B, W: Waits> Drop for Turn<K, B, W> {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let called = lock(&self.queue.0).call_next(&self.key, None);
        called.iter().for_each(|next| W::call(next));
    }
}
