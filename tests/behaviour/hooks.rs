//! Diesel calls hooks of the application (`Instrumentation`) around every statement, also around ours. They may panic.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicI32, Ordering},
    },
};

use diesel::{
    Connection, MysqlConnection, RunQueryDsl,
    connection::{Instrumentation, InstrumentationEvent},
};
use diesel_named_lock::{NamedLockError, NamedLockExt};

use testkit::world::*;

/// Panics at the n-th end of a statement, and at every later one if it is persistent.
struct Bomb {
    countdown: Arc<AtomicI32>,
    persistent: bool,
}

impl Instrumentation for Bomb {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        if let InstrumentationEvent::FinishQuery { .. } = event {
            let left = self.countdown.fetch_sub(1, Ordering::Relaxed) - 1;
            if left == 0 || self.persistent && left < 0 {
                panic!("a hook panics on purpose");
            }
        }
    }
}

fn section_with_bomb(conn: &mut MysqlConnection, name: &str, countdown: i32, persistent: bool) -> bool {
    let countdown = Arc::new(AtomicI32::new(countdown));
    conn.set_instrumentation(Bomb { countdown, persistent });
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        let outcome: Result<(), NamedLockError> = conn.with_named_lock(name, SOON, |_| Ok(()));
        outcome
    }));
    unwound.is_err()
}

#[test]
fn lock_is_free_after_a_hook_panics_at_the_acquire_or_at_the_release() {
    for countdown in [1, 2] {
        let (pool, name) = (pool_of_one(), fresh("hook"));
        let mut conn = pool.get().unwrap();
        assert!(section_with_bomb(&mut conn, &name, countdown, false), "the panic is resumed");
        assert_free_soon(&name);
        drop(conn);
        assert_sound(&pool, &name);
    }
}

/// The inner section must not release the outer section's lock. So that the outer one can't continue without it, it loses its session.
#[test]
fn an_outer_section_does_not_continue_without_its_lock_after_a_hook_panics_at_a_refused_re_entry() {
    let (mut conn, name) = (connect(), fresh("hook_outer"));
    let outcome: Result<(), NamedLockError> = conn.with_named_lock(&name, SOON, |conn| {
        assert!(section_with_bomb(conn, &name, 1, false), "the panic is resumed");
        assert!(diesel::sql_query("DO 0").execute(conn).is_err(), "the outer section can still write");
        Ok(())
    });
    assert!(matches!(outcome, Err(NamedLockError::Lost { .. })), "{outcome:?}");
    assert_free_soon(&name);
}

#[test]
fn lock_is_free_after_a_hook_that_panics_at_every_statement() {
    for countdown in [1, 2] {
        let (pool, name) = (pool_of_one(), fresh("hooks"));
        let mut conn = pool.get().unwrap();
        assert!(section_with_bomb(&mut conn, &name, countdown, true), "the panic is resumed");
        assert_free_soon(&name);
        drop(conn);
        assert_sound(&pool, &name);
    }
}
