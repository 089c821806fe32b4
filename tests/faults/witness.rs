//! Sees what became of the lock in the instant in which a statement has failed, before anything else is done.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use diesel::{
    Connection, MysqlConnection,
    connection::{Instrumentation, InstrumentationEvent},
};

use crate::{
    sql::{holder, id},
    stage::{Checkout, Stage},
};

/// How many statements about locks have failed in a session, and after how many of these it held the lock.
#[derive(Clone, Default)]
pub struct Failures {
    all: Arc<AtomicU32>,
    held: Arc<AtomicU32>,
}

/// A hook that asks from a session of its own.
struct Witness {
    conn: MysqlConnection,
    name: String,
    of: u64,
    failures: Failures,
}

impl Failures {
    /// Counts those of this connection, too.
    pub fn watch(&self, conn: &mut Checkout, stage: &Stage) {
        let (name, of, failures) = (stage.name.clone(), id(conn), self.clone());
        conn.set_instrumentation(Witness { conn: stage.connect(), name, of, failures });
    }

    pub fn all(&self) -> u32 {
        self.all.load(Ordering::Relaxed)
    }

    pub fn held(&self) -> u32 {
        self.held.load(Ordering::Relaxed)
    }
}

impl Instrumentation for Witness {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        let InstrumentationEvent::FinishQuery { error: Some(_), query, .. } = event else { return };
        if !query.to_string().contains("_LOCK(") {
            return;
        }
        self.failures.all.fetch_add(1, Ordering::Relaxed);
        if holder(&mut self.conn, &self.name).expect("IS_USED_LOCK") == Some(self.of) {
            self.failures.held.fetch_add(1, Ordering::Relaxed);
        }
    }
}
