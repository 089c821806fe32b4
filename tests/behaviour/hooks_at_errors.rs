//! Hooks of the application that panic when a statement has failed.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::mpsc,
    thread,
};

use diesel::{
    connection::{Instrumentation, InstrumentationEvent},
    prelude::*,
    sql_query,
};
use diesel_named_lock::{NamedLockError, NamedLockExt};
use testkit::world::*;

struct PanicsAtErrors;

impl Instrumentation for PanicsAtErrors {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        if let InstrumentationEvent::FinishQuery { error: Some(_), query, .. } = event {
            assert!(!query.to_string().contains("GET_LOCK"), "the hook's own panic");
        }
    }
}

/// With libmariadb, a statement that failed waits for ever if it is executed again from Diesel's cache.
#[test]
fn a_hook_that_panics_at_a_deadlock_leaves_no_statement_that_hangs() {
    let (first, second, third) = (fresh("hook_first"), fresh("hook_second"), fresh("hook_third"));
    let (done, end) = mpsc::channel();
    thread::spawn(move || {
        let mut conn = connect();
        let outcome = conn.with_named_lock(&first, SOON, |conn| {
            let mut other = hold_elsewhere(&second);
            let name = first.clone();
            let other = thread::spawn(move || {
                let _ = sql_query(format!("SELECT GET_LOCK('{name}', 20)")).execute(&mut other.conn);
                other
            });
            let own = holder(&second).expect("the other session");
            wait_until_waiting(own);
            conn.set_instrumentation(PanicsAtErrors);
            let inner = || conn.with_named_lock(&second, SOON, |_| Ok::<_, NamedLockError>(()));
            assert!(catch_unwind(AssertUnwindSafe(inner)).is_err(), "there was no deadlock");
            conn.set_instrumentation(None::<Box<dyn Instrumentation>>);
            let again: Result<_, NamedLockError> = conn.with_named_lock(&third, SOON, |_| Ok(()));
            again.expect("a section on a sound connection");
            drop(other);
            Ok::<_, NamedLockError>(())
        });
        done.send(outcome.is_ok()).expect("the test");
    });
    assert!(end.recv_timeout(3 * SOON).expect("no hang"));
}
