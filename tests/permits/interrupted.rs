//! `KILL QUERY` at any statement of a section with permits: no healthy session is killed, and nothing stays held.

use diesel::prelude::*;
use diesel_named_lock::{NamedLock, NamedLockError, permits::SharedLock};

use testkit::{striking::Striking, world::*};

use crate::stage::*;

#[test]
fn a_query_killed_while_waiting_is_interrupted_and_the_connection_stays_good() {
    let name = fresh("kill_query");
    let holding = hold(permits(&name, 1).permit());
    let head = start_as_head(permits(&name, 1).permit().timeout(LONG), &turnstile(&name));
    let behind = start(permits(&name, 1).permit().timeout(LONG));
    wait_until_waiting(behind.id);
    for waiting in [behind, head] {
        // Between two statements, it does nothing.
        wait_until("the wait to be interrupted", || {
            kill_query(waiting.id);
            waiting.is_over()
        });
        let own = waiting.id;
        let (outcome, mut conn) = waiting.outcome();
        assert!(matches!(outcome, Err(NamedLockError::Interrupted { .. })), "{outcome:?}");
        assert_eq!(id(&mut conn), own);
        assert_ne!(holder(&turnstile(&name)), Some(own));
    }
    holding.end().unwrap();
    assert_all_free(&name, 1);
}

fn strike_each(lock: &NamedLock, statements: &[&str], is_expected: impl Fn(&Outcome<()>) -> bool) {
    let proxy = Striking::to(server().tcp_url());
    let mut conn = MysqlConnection::establish(proxy.url()).expect("a connection through the proxy");
    let own = id(&mut conn);
    for sql in statements {
        for times in [1, 2, 5, 9] {
            proxy.strike(times, sql);
            let outcome = lock.run(&mut conn, |_| Outcome::Ok(()));
            assert!(proxy.struck() > 0, "{sql} was never sent");
            proxy.strike(0, "");
            assert!(is_expected(&outcome), "{times} times {sql}: {outcome:?}");
            assert_eq!(id(&mut conn), own, "{times} times {sql}");
            lock.run(&mut conn, |_| Outcome::Ok(())).unwrap();
        }
    }
}

#[test]
fn a_struck_statement_costs_a_section_its_permit_at_most() {
    let name = fresh("struck");
    let is_interrupted = |outcome: &Outcome<()>| matches!(outcome, Err(NamedLockError::Interrupted { .. }));
    let lock = SharedLock::new(&*name).unwrap();
    for lock in [permits(&name, 2).permit(), permits(&name, 2).permits(2).unwrap(), lock.shared()] {
        strike_each(&lock, &["FIELD(CONNECTION_ID()"], is_interrupted);
        strike_each(&lock, &["RELEASE_LOCK(?), "], Outcome::is_ok);
    }
    strike_each(&permits(&name, 2).permits(2).unwrap(), &["SLEEP("], is_interrupted);
    strike_each(&lock.exclusive(), &["GET_LOCK("], is_interrupted);
    strike_each(&lock.exclusive(), &["RELEASE_LOCK("], Outcome::is_ok);
    assert_all_free(&name, 2);
}
