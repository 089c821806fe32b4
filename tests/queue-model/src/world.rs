//! What all models share: a queue, the locks on the server that it is there for, and threads with sections.

use std::{
    cell::Cell,
    collections::BTreeSet,
    mem,
    rc::Rc,
    sync::{Arc, Mutex},
};

use loom::{cell::Cell as CheckedCell, model::Builder, thread};

use crate::{
    queue::{NoTurn, Queue, Turn},
    sync::{Condvar, Deadline},
};

/// How a thread came to its turn, or why it did not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Came {
    Turn,
    TurnWithBaton,
    TimedOut,
    OwnTurn,
    Circle,
}

impl From<NoTurn> for Came {
    fn from(no_turn: NoTurn) -> Self {
        match no_turn {
            NoTurn::TimedOut => Self::TimedOut,
            NoTurn::OwnTurn => Self::OwnTurn,
            NoTurn::Circle => Self::Circle,
        }
    }
}

/// Loom's threads take turns on one real thread, so that `Rc` and `Cell` will do for what is not checked.
pub(crate) struct World {
    pub(crate) queue: Queue<usize, Held>,
    /// For each key, whether the server has granted its lock. The cell panics if two threads access it without the
    /// queue having put one before the other, also if they don't meet.
    granted: [Rc<CheckedCell<bool>>; 4],
    passed: Cell<u32>,
    taken_up: Cell<u32>,
    drops_places: Cell<bool>,
}

/// The baton: a lock that the server has granted, released when dropped.
pub(crate) struct Held(Rc<CheckedCell<bool>>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

/// Runs the model for every order of events. Returns what came out, each outcome once.
pub(crate) fn explore<O>(model: impl Fn(&Rc<World>) -> O + Send + Sync + 'static) -> BTreeSet<O>
where
    O: Ord + Send + 'static,
{
    let outcomes = Arc::new(Mutex::new(BTreeSet::new()));
    let found = outcomes.clone();
    let mut loom = Builder::new();
    loom.preemption_bound.get_or_insert(3);
    loom.check(move || {
        let world = Rc::new(World::new());
        let outcome = model(&world);
        world.is_as_at_first();
        found.lock().unwrap().insert(outcome);
    });
    mem::take(&mut outcomes.lock().unwrap())
}

/// What the threads return, after their end.
pub(crate) fn join<T, const N: usize>(threads: [thread::JoinHandle<T>; N]) -> [T; N] {
    threads.map(|thread| thread.join().unwrap())
}

impl World {
    fn new() -> Self {
        Self {
            queue: Queue::new(),
            granted: Default::default(),
            passed: Cell::new(0),
            taken_up: Cell::new(0),
            drops_places: Cell::new(false),
        }
    }

    /// Nobody is left in line, no baton is left behind, no lock is held.
    fn is_as_at_first(&self) {
        let all_taken_up = self.taken_up == self.passed;
        assert!(all_taken_up || self.drops_places.get(), "every baton that was passed was taken up");
        assert_eq!(self.queue.total_waiting(), 0);
        for key in 0..self.granted.len() {
            assert_eq!(self.section(key, Deadline::Passes), Came::Turn, "with nobody in line, the turn comes at once");
        }
    }

    pub(crate) fn spawn<T: 'static>(self: &Rc<Self>, run: impl FnOnce(&Self) -> T + 'static) -> thread::JoinHandle<T> {
        let world = self.clone();
        thread::spawn(move || run(&world))
    }

    /// Asks the server for a lock, which must be free.
    pub(crate) fn acquire(&self, key: usize) -> Held {
        assert!(!self.granted[key].replace(true), "lock {key} is held by another thread, or left behind");
        Held(self.granted[key].clone())
    }

    /// A section that can be handed the lock, and hands it on.
    pub(crate) fn section(&self, key: usize, deadline: Deadline) -> Came {
        self.section_around(key, deadline, true, || ()).0
    }

    /// A section that acquires and releases the lock.
    pub(crate) fn lone_section(&self, key: usize, deadline: Deadline) -> Came {
        self.section_around(key, deadline, false, || ()).0
    }

    pub(crate) fn section_around<T>(
        &self,
        key: usize,
        deadline: Deadline,
        takes_baton: bool,
        work: impl FnOnce() -> T,
    ) -> (Came, Option<T>) {
        let (turn, baton) = match self.queue.enter(&key, deadline, takes_baton) {
            Ok(turn) => turn,
            Err(no_turn) => return (no_turn.into(), None),
        };
        let came = if baton.is_some() { Came::TurnWithBaton } else { Came::Turn };
        self.taken_up.set(self.taken_up.get() + u32::from(baton.is_some()));
        let held = baton.unwrap_or_else(|| self.acquire(key));
        let done = work();
        if takes_baton {
            self.hand_off(turn, held);
        } else {
            drop(held);
            drop(turn);
        }
        (came, Some(done))
    }

    /// As a task whose future is dropped, in line or when its turn has come.
    pub(crate) fn drop_place(&self, key: usize) {
        self.drops_places.set(true);
        drop(self.queue.line_up(&key, thread::current().id(), true, Arc::new(Condvar::new())));
    }

    /// A task that is called, or not yet, and then dropped.
    pub(crate) fn ask_and_drop_place(&self, key: usize) -> bool {
        self.drops_places.set(true);
        match self.queue.line_up(&key, thread::current().id(), true, Arc::new(Condvar::new())) {
            Ok(_) => true,
            Err(mut place) => match place.take_turn() {
                Some((turn, Some(held))) => {
                    self.hand_off(turn, held);
                    true
                }
                other => other.is_some(),
            },
        }
    }

    /// Ends a turn. The next thread gets the lock if it can use it. Returns the answer of `can_pass` and the outcome of `pass`.
    pub(crate) fn hand_off(&self, turn: Turn<usize, Held>, held: Held) -> (bool, bool) {
        let can_pass = turn.can_pass();
        match turn.pass(held) {
            Ok(()) => {
                self.passed.set(self.passed.get() + 1);
                (can_pass, true)
            }
            Err((turn, held)) => {
                drop(held);
                drop(turn);
                (can_pass, false)
            }
        }
    }
}
