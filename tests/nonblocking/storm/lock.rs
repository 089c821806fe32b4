//! A lock, and what it guards.

use std::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering::SeqCst},
};

use diesel_async::SimpleAsyncConnection;
use testkit::world::fresh;

use crate::world::{connect, table};

pub struct Lock {
    pub name: String,
    /// Acquired by its holder only.
    pub inner: String,
    /// With one row, which its holder updates.
    pub table: String,
    has_holder: AtomicBool,
}

impl Lock {
    pub async fn new() -> Self {
        let mut conn = connect().await;
        let table = table(&mut conn).await;
        conn.batch_execute(&format!("INSERT INTO {table} VALUES (0)")).await.unwrap();
        Self { name: fresh("storm"), inner: fresh("inner"), table, has_holder: AtomicBool::new(false) }
    }
}

/// Where a section is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    Acquire,
    Closure,
    Release,
}

/// Where a section over a lock is. No second one may be in its closure.
pub struct Progress<'a> {
    lock: &'a Lock,
    moment: Mutex<Moment>,
}

impl<'a> Progress<'a> {
    pub fn new(lock: &'a Lock) -> Self {
        Self { lock, moment: Mutex::new(Moment::Acquire) }
    }

    pub fn moment(&self) -> Moment {
        *self.moment.lock().unwrap()
    }

    pub fn enter(&self) {
        assert!(!self.lock.has_holder.swap(true, SeqCst), "a second holder of {}", self.lock.name);
        *self.moment.lock().unwrap() = Moment::Closure;
    }

    pub fn leave(&self) {
        self.lock.has_holder.store(false, SeqCst);
        *self.moment.lock().unwrap() = Moment::Release;
    }

    /// As soon as anything in the closure is dropped, the session may be gone.
    pub fn is_about_to_be_dropped(&self) {
        if self.moment() == Moment::Closure {
            self.lock.has_holder.store(false, SeqCst);
        }
    }
}
