//! Panics: in the work, and in the application's hooks that Diesel calls around every statement, ours too.

use std::{
    panic::panic_any,
    sync::{
        Arc,
        atomic::{AtomicI32, Ordering},
    },
};

use diesel::{
    connection::{Instrumentation, InstrumentationEvent},
    prelude::*,
    sql_query,
};

use crate::{
    perform::ON_PURPOSE,
    scenario::{Outcome::*, SOON, Scenario, Served::*, scenario},
    sql::number,
    stage::{Stage, Work},
};

pub fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("panic_in_the_work", panic_in_the_work, &[Panicked]).pool(&[Kept]),
        scenario("panic_in_a_nested_section", panic_in_a_nested_section, &[Panicked]).pool(&[Kept]),
        scenario("panic_in_a_transaction_of_the_work", panic_in_a_transaction, &[Panicked]).pool(&[Kept]),
        // The panic of a hook leaves Diesel in the middle of a statement: the connection may or may not be of use.
        scenario("panic_in_a_hook_at_the_acquire", hook_panics_at_the_acquire, &[Panicked])
            .free_within(SOON)
            .pool(&[Kept, Replaced]),
        scenario("panic_in_a_hook_at_the_release", hook_panics_at_the_release, &[Panicked])
            .free_within(SOON)
            .pool(&[Kept, Replaced]),
        scenario("panic_in_a_hook_at_every_statement", hook_panics_at_every_statement, &[Panicked])
            .free_within(SOON)
            .pool(&[Replaced]),
        scenario("panic_in_a_hook_from_the_release_on", hook_panics_from_the_release_on, &[Panicked])
            .free_within(SOON)
            .pool(&[Replaced]),
    ]
}

fn panic_in_the_work(stage: &Stage) {
    let pool = stage.pool();
    let (mut conn, _) = stage.checkout(&pool);
    stage.section(&stage.lock(), &mut conn, |_| panic_any(ON_PURPOSE));
    stage.free_and_serves(conn, &pool);
}

fn panic_in_a_nested_section(stage: &Stage) {
    let pool = stage.pool();
    let (mut conn, _) = stage.checkout(&pool);
    let inner = diesel_named_lock::NamedLock::new(format!("{}_inner", stage.name)).expect("a valid name");
    let again = stage.lock().reentrant();
    stage.section(&stage.lock(), &mut conn, |conn| {
        again.run(conn, |conn| inner.run(conn, |_| -> Work { panic_any(ON_PURPOSE) }))
    });
    let query = format!("SELECT IS_FREE_LOCK('{}') AS number", inner.names()[0]);
    stage.check(number(&mut *stage.control(), &query) == Some(1), "the inner lock is held");
    stage.free_and_serves(conn, &pool);
}

fn panic_in_a_transaction(stage: &Stage) {
    let pool = stage.pool();
    let (mut conn, _) = stage.checkout(&pool);
    let table = stage.table();
    stage.section(&stage.lock(), &mut conn, |conn| {
        conn.transaction(|conn| {
            sql_query(format!("UPDATE {table} SET a = 7")).execute(conn)?;
            panic_any(ON_PURPOSE)
        })
    });
    stage.check(stage.value_in(&table) == Some(0), "what the transaction wrote was not rolled back");
    stage.free_and_serves(conn, &pool);
}

/// Where a hook is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Point {
    Start,
    Finish,
}

/// Panics at the n-th statement, and at every later one if it is persistent.
struct Bomb {
    point: Point,
    countdown: Arc<AtomicI32>,
    persistent: bool,
}

impl Instrumentation for Bomb {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        let point = match event {
            InstrumentationEvent::StartQuery { .. } => Point::Start,
            InstrumentationEvent::FinishQuery { .. } => Point::Finish,
            _ => return,
        };
        if point != self.point {
            return;
        }
        let left = self.countdown.fetch_sub(1, Ordering::Relaxed) - 1;
        if left == 0 || self.persistent && left < 0 {
            panic_any(ON_PURPOSE);
        }
    }
}

fn with_bombs(stage: &Stage, countdown: i32, persistent: bool) {
    for point in [Point::Start, Point::Finish] {
        let pool = stage.pool();
        let (mut conn, _) = stage.checkout(&pool);
        conn.set_instrumentation(Bomb { point, countdown: Arc::new(countdown.into()), persistent });
        stage.section(&stage.lock(), &mut conn, |_| Result::Ok(()));
        stage.free_and_serves(conn, &pool);
    }
}

fn hook_panics_at_the_acquire(stage: &Stage) {
    with_bombs(stage, 1, false);
}

fn hook_panics_at_the_release(stage: &Stage) {
    with_bombs(stage, 2, false);
}

fn hook_panics_at_every_statement(stage: &Stage) {
    with_bombs(stage, 1, true);
}

fn hook_panics_from_the_release_on(stage: &Stage) {
    with_bombs(stage, 2, true);
}
