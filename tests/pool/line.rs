//! Threads in line for one lock, in a known order.

use std::{
    sync::{Mutex, mpsc},
    thread,
};

use diesel::r2d2::{Pool, PooledConnection};
use diesel_named_lock::{LockName, NamedLockError, pool::NamedLockPool};

use testkit::world::*;

pub type Locks = NamedLockPool<Manager>;
pub type Conn = PooledConnection<Manager>;
pub type Outcome<T> = Result<T, NamedLockError>;

pub fn pool(size: u32) -> Pool<Manager> {
    Pool::builder().max_size(size).connection_timeout(SOON).build(Manager::new(server().url())).expect("a pool")
}

/// Never out of hand-offs.
pub fn generous(size: u32) -> Locks {
    NamedLockPool::builder(pool(size)).max_hand_offs(1000).max_hand_off_time(SOON * 10).build()
}

pub fn lock_name(what: &str) -> LockName {
    LockName::new(fresh(what)).expect("a valid name")
}

pub fn in_use(locks: &Locks) -> u32 {
    let state = locks.pool().state();
    state.connections - state.idle_connections
}

#[track_caller]
pub fn wait_until_in_line(locks: &Locks, name: &LockName, threads: usize) {
    wait_until(&format!("{threads} threads to be in line"), || locks.waiting(name) == threads);
}

/// The first thread runs `first` only when all others are in line behind it, each of which runs `other` with its number.
pub fn in_line<A: Send, B: Send>(
    locks: &Locks,
    name: &LockName,
    others: usize,
    first: impl FnOnce(&mut Conn) -> A + Send,
    other: impl Fn(&mut Conn, usize) -> B + Sync,
) -> (Outcome<A>, Vec<Outcome<B>>) {
    let (entered, has_entered) = mpsc::channel();
    let (begin, may_begin) = mpsc::channel();
    thread::scope(|scope| {
        let holder = scope.spawn(move || {
            locks.with_named_lock(name, SOON, |conn| {
                entered.send(()).unwrap();
                may_begin.recv_timeout(SOON).expect("the others get in line");
                Ok(first(conn))
            })
        });
        has_entered.recv_timeout(SOON).expect("the first one gets in");
        let other = &other;
        let others: Vec<_> = (0..others)
            .map(|number| {
                let thread = scope.spawn(move || locks.with_named_lock(name, SOON, |conn| Ok(other(conn, number))));
                wait_until_in_line(locks, name, number + 1);
                thread
            })
            .collect();
        begin.send(()).unwrap();
        (join(holder), others.into_iter().map(join).collect())
    })
}

fn join<T>(thread: thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// For when all of them get their turn.
#[track_caller]
pub fn assert_served<A, B>((first, others): (Outcome<A>, Vec<Outcome<B>>)) {
    for outcome in [first.map(drop)].into_iter().chain(others.into_iter().map(|other| other.map(drop))) {
        outcome.expect("every thread in line is served");
    }
}

/// What happened, in order, as several threads tell it.
#[derive(Default)]
pub struct Log<T>(Mutex<Vec<T>>);

impl<T: Clone> Log<T> {
    pub fn add(&self, entry: T) {
        self.0.lock().unwrap().push(entry);
    }

    pub fn entries(&self) -> Vec<T> {
        self.0.lock().unwrap().clone()
    }
}
