//! Sections by a guard that goes to another thread, where its work runs, and that may be watched before.

use std::{panic::resume_unwind, thread, time::Duration};

use diesel_named_lock::{KeepAliveError, NamedLockError, NamedLockGuard, WatchedGuard, pool::PooledGuard};

use crate::{
    history::Outcome,
    locking::{Conn, Verdict, Work, WorkError, of_section, told_by},
    manager::Manager,
    message::Message,
    violation::{Kind, Violation},
};

const OFTEN: Duration = Duration::from_micros(500);

/// Of a connection, or of a pool.
pub trait Guard: Send + Sized + 'static {
    fn keep_alive(self, interval: Duration) -> Result<WatchedGuard<Self>, KeepAliveError<Self>>;
    fn conn(&mut self) -> &mut Conn;
    fn transaction(&mut self, work: &mut Work<'_>) -> Result<(), WorkError>;
    fn release(self) -> Result<(), NamedLockError>;
}

impl Guard for NamedLockGuard<Conn> {
    fn keep_alive(self, interval: Duration) -> Result<WatchedGuard<Self>, KeepAliveError<Self>> {
        Self::keep_alive(self, interval)
    }

    fn conn(&mut self) -> &mut Conn {
        self
    }

    fn transaction(&mut self, work: &mut Work<'_>) -> Result<(), WorkError> {
        Self::transaction(self, work)
    }

    fn release(self) -> Result<(), NamedLockError> {
        Ok(Self::release(self).map(drop)?)
    }
}

impl Guard for PooledGuard<Manager> {
    fn keep_alive(self, interval: Duration) -> Result<WatchedGuard<Self>, KeepAliveError<Self>> {
        Self::keep_alive(self, interval)
    }

    fn conn(&mut self) -> &mut Conn {
        self
    }

    fn transaction(&mut self, work: &mut Work<'_>) -> Result<(), WorkError> {
        Self::transaction(self, work)
    }

    fn release(self) -> Result<(), NamedLockError> {
        Self::release(self)
    }
}

/// Runs it on another thread, to which the guard moves.
pub fn section<G: Guard>(guard: G, watched: Option<Duration>, transaction: bool, work: &mut Work<'_>) -> Verdict {
    let begun = match watched {
        None => Ok(Begun::Plain(guard)),
        Some(time) => guard.keep_alive(OFTEN).map(|watched| Begun::Watched(watched, time)),
    };
    thread::scope(|scope| {
        let section = scope.spawn(|| match begun {
            Ok(Begun::Plain(guard)) => run(guard, transaction, work),
            Ok(Begun::Watched(watched, time)) if watched.lost(time) => lost(watched.into_guard()),
            Ok(Begun::Watched(watched, _)) => run(watched.into_guard(), transaction, work),
            Err(refused) => failed(refused.into_guard()),
        });
        section.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

enum Begun<G> {
    Plain(G),
    Watched(WatchedGuard<G>, Duration),
}

fn run<G: Guard>(mut guard: G, transaction: bool, work: &mut Work<'_>) -> Verdict {
    let value = if transaction { guard.transaction(work) } else { work(guard.conn()) };
    of_section(&value, guard.release().err().as_ref())
}

/// What a watch has told must hold at the end.
fn lost<G: Guard>(guard: G) -> Verdict {
    guard.release().err().as_ref().map_or_else(
        || {
            let what = "a guard that was told lost was held to its end";
            Message::Violation(Violation::new(Kind::Impossible, what)).send();
            Verdict { outcome: Outcome::Lost, alone: false }
        },
        told_by,
    )
}

/// The first statement of the watch failed.
fn failed<G: Guard>(guard: G) -> Verdict {
    let broke = Verdict { outcome: Outcome::WorkBroke, alone: false };
    guard.release().err().as_ref().map_or(broke, told_by)
}
