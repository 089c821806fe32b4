//! Whose turn it is in this process, for each key: first come, first served. No SQL, no Diesel; model-checked by
//! `tests/queue-model`.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
};

use super::sync::{Arc, Condvar, Deadline, Mutex, ThreadId, current, lock, wait};

/// One line of threads for each key. Who has the turn may pass a baton to the next one. A clone is the same queue.
pub(crate) struct Queue<K, B>(Arc<Mutex<Lines<K, B>>>);

struct Lines<K, B> {
    /// Only lines with somebody in them, and each thread in a line once at most.
    by_key: HashMap<K, Line<B>>,
}

struct Line<B> {
    /// Whose turn it is; `None` if the turn may move between threads.
    turn: Option<ThreadId>,
    /// Passed to who has the turn now, and not yet taken up.
    baton: Option<B>,
    waiting: VecDeque<Waiter>,
}

struct Waiter {
    thread: ThreadId,
    takes_baton: bool,
    called: Arc<Condvar>,
}

/// Why there is no turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoTurn {
    /// It did not come in time.
    TimedOut,
    /// This very thread has it already.
    OwnTurn,
    /// Who has it waits, through however many others, for a turn that this thread has.
    Circle,
}

impl<K: Eq + Hash + Clone, B> Queue<K, B> {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Lines { by_key: HashMap::new() })))
    }

    /// Waits for the turn, with which a baton may come. `takes_baton`: whether this thread has a use for one.
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
        let line = lines.line(key);
        line.waiting.push_back(Waiter { thread: me, takes_baton, called: called.clone() });
        loop {
            let (guard, timed_out) = wait(&called, lines, deadline);
            lines = guard;
            let line = lines.line(key);
            // Looked at first: who is called at the last moment has the turn, and must not leave the others without.
            if line.turn == Some(me) {
                return Ok((Turn::new(self, key), line.baton.take()));
            }
            if timed_out {
                line.waiting.retain(|waiter| waiter.thread != me);
                return Err(NoTurn::TimedOut);
            }
        }
    }

    /// How many threads wait for the turn.
    pub(crate) fn waiting(&self, key: &K) -> usize {
        lock(&self.0).by_key.get(key).map_or(0, |line| line.waiting.len())
    }

    /// The same for all keys together.
    pub(crate) fn total_waiting(&self) -> usize {
        lock(&self.0).by_key.values().map(|line| line.waiting.len()).sum()
    }
}

impl<K, B> Clone for Queue<K, B> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K: Eq + Hash + Clone, B> Lines<K, B> {
    /// Where nobody is in line, the turn comes at once.
    fn begin(&mut self, key: &K, turn: ThreadId) -> bool {
        let free = !self.by_key.contains_key(key);
        if free {
            self.by_key.insert(key.clone(), Line { turn: Some(turn), baton: None, waiting: VecDeque::new() });
        }
        free
    }

    fn line(&mut self, key: &K) -> &mut Line<B> {
        self.by_key.get_mut(key).expect("a line stays while somebody is in it")
    }

    /// Gives the turn to the next one, who is to be notified. Removes the line when nobody is left.
    fn call_next(&mut self, key: &K, baton: Option<B>) -> Option<Arc<Condvar>> {
        let line = self.line(key);
        let Some(next) = line.waiting.pop_front() else {
            self.by_key.remove(key);
            return None;
        };
        line.turn = Some(next.thread);
        line.baton = baton;
        Some(next.called)
    }

    fn refuse_circle(&mut self, key: &K, me: ThreadId) -> Result<(), NoTurn> {
        let mut in_front = self.line(key).turn;
        if in_front == Some(me) {
            return Err(NoTurn::OwnTurn);
        }
        // Most threads have no turn at all, and so nobody who waits for them.
        if self.by_key.values().all(|line| line.turn != Some(me)) {
            return Ok(());
        }
        // Ends, since a thread waits in one line at most, and those in line already are in no circle.
        while let Some(line) = in_front.and_then(|thread| self.by_key.values().find(|line| line.has_waiting(thread))) {
            in_front = line.turn;
            if in_front == Some(me) {
                return Err(NoTurn::Circle);
            }
        }
        Ok(())
    }
}

impl<B> Line<B> {
    fn next_takes_baton(&self) -> bool {
        self.waiting.front().is_some_and(|next| next.takes_baton)
    }

    fn has_waiting(&self, thread: ThreadId) -> bool {
        self.waiting.iter().any(|waiter| waiter.thread == thread)
    }
}

/// The turn. Ends when dropped, also by a panic; then it is the next one's.
#[must_use = "a turn that is dropped has ended"]
pub(crate) struct Turn<K: Eq + Hash + Clone, B> {
    queue: Queue<K, B>,
    key: K,
    ended: bool,
}

impl<K: Eq + Hash + Clone, B> Turn<K, B> {
    fn new(queue: &Queue<K, B>, key: &K) -> Self {
        Self { queue: queue.clone(), key: key.clone(), ended: false }
    }

    /// From now on, it is no thread's own, and may move between them: nobody is refused because of it.
    pub(crate) fn detach(&self) {
        lock(&self.queue.0).line(&self.key).turn = None;
    }

    /// Whether the next one is there and takes a baton. It may leave at any time.
    pub(crate) fn can_pass(&self) -> bool {
        lock(&self.queue.0).line(&self.key).next_takes_baton()
    }

    /// Ends the turn and passes the baton to the next one. If there is none that takes it, both come back.
    pub(crate) fn pass(mut self, baton: B) -> Result<(), (Self, B)> {
        let mut lines = lock(&self.queue.0);
        if !lines.line(&self.key).next_takes_baton() {
            drop(lines);
            return Err((self, baton));
        }
        let called = lines.call_next(&self.key, Some(baton));
        drop(lines);
        self.ended = true;
        called.iter().for_each(|next| next.notify_one());
        Ok(())
    }
}

impl<K: Eq + Hash + Clone, B> Drop for Turn<K, B> {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let called = lock(&self.queue.0).call_next(&self.key, None);
        called.iter().for_each(|next| next.notify_one());
    }
}
