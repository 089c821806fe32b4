//! Threads in line for one lock, in a known order.

use std::{
    sync::{Mutex, mpsc},
    thread,
};

use diesel::{
    QueryableByName, RunQueryDsl,
    r2d2::{ManageConnection, Pool, PooledConnection},
    sql_query,
    sql_types::Text,
};
use diesel_named_lock::{LockName, NamedLock, NamedLockError, pool::NamedLockPool};

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

/// The same with group confirmation.
pub fn grouped<M: ManageConnection>(pool: Pool<M>) -> NamedLockPool<M> {
    let builder = NamedLockPool::builder(pool).max_hand_offs(1000).max_hand_off_time(SOON * 10);
    builder.group_confirmation().build()
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

#[derive(QueryableByName)]
struct Status {
    #[diesel(sql_type = Text, column_name = Value)]
    value: String,
}

/// How many statements this session has sent, with this one.
fn questions(conn: &mut Conn) -> i64 {
    let row: Status = sql_query("SHOW SESSION STATUS LIKE 'Questions'").get_result(conn).unwrap();
    row.value.parse().unwrap()
}

/// How many statements come between one thread's and the next one's, on the same session.
pub fn round_trips_of_hand_offs(locks: &Locks, name: &LockName, hand_offs: usize) -> Vec<i64> {
    warm_up(locks, name);
    let look = |conn: &mut Conn| (id(conn), questions(conn));
    let (first, others) = in_line(locks, name, hand_offs, look, |conn, _| look(conn));
    let (session, mut asked) = first.unwrap();
    let of_a_look = {
        let mut conn = locks.pool().get().unwrap();
        let (before, after) = (look(&mut conn), look(&mut conn));
        after.1 - before.1
    };
    let between = |other: Outcome<(u64, i64)>| {
        let (other_session, questions) = other.unwrap();
        assert_eq!(other_session, session);
        let between = questions - asked - of_a_look;
        asked = questions;
        between
    };
    let between = others.into_iter().map(between).collect();
    assert_free(name.as_str());
    between
}

/// Has the statement of the hand-off prepared, on every connection.
fn warm_up(locks: &Locks, name: &LockName) {
    let mut conns: Vec<_> = (0..locks.pool().max_size()).map(|_| locks.pool().get().unwrap()).collect();
    for conn in &mut conns {
        NamedLock::new(name).unwrap().reentrant().run(conn, |_| Outcome::Ok(())).unwrap();
    }
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
