//! Sections that hold permits until they are told to end.

use std::{
    sync::mpsc::{Sender, channel},
    thread::{self, JoinHandle},
    time::Duration,
};

use diesel::MysqlConnection;
use diesel_named_lock::{NamedLock, NamedLockError, permits::Permits};

use testkit::world::*;

pub type Outcome<T> = Result<T, NamedLockError>;

pub fn permits(name: &str, count: u32) -> Permits {
    Permits::new(name, count).unwrap()
}

/// The names of the server's locks that permits of this name are made of.
pub fn slot(name: &str, slot: u32) -> String {
    format!("{name}:permit#{slot}")
}

pub fn turnstile(name: &str) -> String {
    format!("{name}:permit#wait")
}

/// A section in a thread of its own.
pub struct Holding {
    pub id: u64,
    end: Sender<()>,
    thread: JoinHandle<Outcome<()>>,
}

impl Holding {
    /// Ends the section and returns its outcome.
    pub fn end(self) -> Outcome<()> {
        let _ = self.end.send(());
        self.thread.join().unwrap()
    }
}

/// Returns when the section holds the lock.
pub fn hold(lock: NamedLock) -> Holding {
    let mut conn = connect();
    let id = id(&mut conn);
    let (holding, end) = begin_to_hold(lock, conn);
    holding.recv().expect("the lock");
    let (end, thread) = end;
    Holding { id, end, thread }
}

type Ending = (Sender<()>, JoinHandle<Outcome<()>>);

fn begin_to_hold(lock: NamedLock, mut conn: MysqlConnection) -> (std::sync::mpsc::Receiver<()>, Ending) {
    let ((held, holding), (end, ended)) = (channel(), channel::<()>());
    let thread = thread::spawn(move || {
        lock.run(&mut conn, |_| {
            held.send(()).unwrap();
            let _ = ended.recv();
            Ok(())
        })
    });
    (holding, (end, thread))
}

/// A section that waits.
pub struct Waiting {
    pub id: u64,
    thread: JoinHandle<(Outcome<()>, MysqlConnection)>,
}

impl Waiting {
    pub fn outcome(self) -> (Outcome<()>, MysqlConnection) {
        self.thread.join().unwrap()
    }

    pub fn is_over(&self) -> bool {
        self.thread.is_finished()
    }
}

/// Starts a section, which does nothing.
pub fn start(lock: NamedLock) -> Waiting {
    let mut conn = connect();
    let id = id(&mut conn);
    let thread = thread::spawn(move || (lock.run(&mut conn, |_| Ok(())), conn));
    Waiting { id, thread }
}

/// Returns when the section is first in line: it holds the turnstile.
pub fn start_as_head(lock: NamedLock, turnstile: &str) -> Waiting {
    let waiting = start(lock);
    wait_until("the turnstile to be held", || holder(turnstile) == Some(waiting.id));
    waiting
}

#[track_caller]
pub fn assert_all_free(name: &str, count: u32) {
    assert_free(&turnstile(name));
    (1..=count).for_each(|number| assert_free(&slot(name, number)));
}

pub const LONG: Duration = Duration::from_secs(60);
