//! Work that computes for long beside a connection that is kept alive.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    thread,
    time::{Duration, Instant},
};

use diesel::{
    MysqlConnection,
    connection::{Instrumentation, InstrumentationEvent, SimpleConnection},
    prelude::*,
    sql_query,
};
use diesel_named_lock::{NamedLock, NamedLockError, NamedLockExt, Section, Watch};
use test_server::Server;

use testkit::world::*;

use testkit::proxy::Proxy;

use testkit::round_trips::{asked_by, last_statement};

type Outcome<T> = Result<T, NamedLockError>;

const OFTEN: Duration = Duration::from_millis(10);
const ONCE: Duration = Duration::from_secs(3600);

#[track_caller]
fn assert_lost<T>(section: Outcome<Section<T>>) -> T {
    let section = section.expect("the work has run");
    assert!(matches!(section.error, Some(NamedLockError::Lost { .. })), "{:?}", section.error);
    section.value
}

/// The server ends it after three seconds of idleness: enough for a ping that is late on a busy machine.
fn impatient() -> MysqlConnection {
    let mut conn = connect();
    sql_query("SET SESSION wait_timeout = 3").execute(&mut conn).unwrap();
    conn
}

#[test]
fn a_session_that_is_kept_alive_outlives_its_wait_timeout() {
    let (mut conn, name) = (impatient(), fresh("kept_alive"));
    let own = id(&mut conn);
    let outcome: Outcome<_> = conn.with_named_lock(&name, SOON, |conn| {
        let held = conn.keep_alive_while(Duration::from_millis(300), |watch| {
            thread::sleep(Duration::from_secs(4));
            (holder(&name), watch.is_lost())
        });
        assert_eq!(id(conn), own, "the work has its connection back");
        Ok(held)
    });
    assert_eq!(outcome.unwrap(), (Some(own), false));
    assert_free(&name);
}

/// Without this, the test above could not fail.
#[test]
fn a_session_that_is_not_kept_alive_does_not() {
    let (mut conn, name) = (impatient(), fresh("not_kept_alive"));
    assert_lost(NamedLock::new(&*name).unwrap().section(&mut conn, |_| {
        wait_until("the server to end the idle session", || holder(&name).is_none());
    }));
}

#[test]
fn a_pooled_connection_is_kept_alive_also_in_a_transaction() {
    let (pool, name) = (pool_of_one(), fresh("kept_alive_tx"));
    let outcome: Outcome<_> = pool.get().unwrap().with_named_lock_transaction(&name, SOON, |conn| {
        Ok(conn.keep_alive_while(OFTEN, |watch| {
            thread::sleep(10 * OFTEN);
            watch.is_lost()
        }))
    });
    assert!(!outcome.unwrap());
    assert_sound(&pool, &name);
}

#[test]
fn it_is_pinged_at_once_and_then_at_every_interval() {
    let mut conn = connect();
    let own = id(&mut conn);
    let until_pinged = || {
        let before = last_statement(own);
        wait_until("a ping", || last_statement(own) > before);
    };
    let before = last_statement(own);
    conn.keep_alive_while(ONCE, |_| wait_until("the first ping", || last_statement(own) > before));
    conn.keep_alive_while(OFTEN, |_| (0..5).for_each(|_| until_pinged()));
}

#[test]
fn a_ping_is_one_round_trip_on_a_warm_connection() {
    let mut conn = connect();
    let ping = |conn: &mut MysqlConnection| conn.keep_alive_while(ONCE, |_| ());
    ping(&mut conn);
    assert_eq!(asked_by(&mut conn, ping), (1, 0));
}

#[test]
fn the_end_of_the_computation_does_not_wait_for_the_interval() {
    let mut conn = connect();
    let start = Instant::now();
    assert_eq!(conn.keep_alive_while(ONCE, |_| "value"), "value");
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
}

#[test]
fn an_interval_of_zero_counts_as_a_millisecond() {
    let mut conn = connect();
    let start = Instant::now();
    let (pings, _) = asked_by(&mut conn, |conn| conn.keep_alive_while(Duration::ZERO, |_| thread::sleep(10 * OFTEN)));
    assert!(1 < pings && pings <= 1 + start.elapsed().as_millis() as i64, "{pings} pings in {:?}", start.elapsed());
}

#[test]
fn a_session_killed_during_the_computation_is_noticed_by_it_and_lost() {
    let (pool, name) = (pool_of_one(), fresh("killed_meanwhile"));
    let mut conn = pool.get().unwrap();
    let own = id(&mut conn);
    let value = assert_lost(NamedLock::new(&*name).unwrap().section(&mut conn, |conn| {
        conn.keep_alive_while(OFTEN, |watch| {
            assert!(!watch.is_lost());
            kill(own);
            wait_until("the loss to be seen", || watch.is_lost());
            "precious"
        })
    }));
    assert_eq!(value, "precious");
    drop(conn);
    assert_sound(&pool, &name);
}

#[test]
fn pings_that_kill_query_strikes_are_no_loss() {
    let (mut conn, name) = (connect(), fresh("struck"));
    let own = id(&mut conn);
    let outcome: Outcome<_> = conn.with_named_lock(&name, SOON, |conn| {
        conn.keep_alive_while(Duration::from_millis(1), |watch| {
            let mut killer = connect();
            for _ in 0..300 {
                killer.batch_execute(&format!("KILL QUERY {own}")).expect("KILL QUERY");
                // So that no ping meets two of them.
                let struck = Instant::now();
                wait_until("a ping after it", || watch.silent_for() < struck.elapsed() || watch.is_lost());
            }
            Ok(watch.is_lost())
        })
    });
    assert!(!outcome.unwrap());
    assert_free(&name);
}

/// What `is_lost` has said must hold at the end, although the session could continue.
#[test]
fn a_session_that_did_not_answer_is_lost_though_it_lives() {
    let private = Server::start(server().product()).expect("a server of its own");
    let connect = || MysqlConnection::establish(private.url()).unwrap();
    let (mut conn, mut admin, name) = (connect(), connect(), fresh("refused"));
    // With none, no ping can be prepared.
    let mut allow = |statements: u32| {
        admin.batch_execute(&format!("SET GLOBAL max_prepared_stmt_count = {statements}")).unwrap();
    };
    let value = assert_lost(NamedLock::new(&*name).unwrap().section(&mut conn, |conn| {
        allow(0);
        conn.keep_alive_while(OFTEN, |watch| {
            wait_until("the loss to be seen", || watch.is_lost());
            allow(10_000);
            "precious"
        })
    }));
    assert_eq!(value, "precious");
}

/// Strikes at every ping, as Diesel shows it to a hook.
struct PanicsOnPing;

impl Instrumentation for PanicsOnPing {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        if let InstrumentationEvent::StartQuery { query, .. } = event {
            assert!(!query.to_string().starts_with("SELECT 1 LIMIT 1"), "the hook's own panic");
        }
    }
}

#[test]
fn a_panic_of_a_hook_in_a_ping_is_noticed_at_once_and_resumed_after_the_computation() {
    let (mut conn, name) = (connect(), fresh("hook"));
    let mut seen = false;
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        let _: Outcome<()> = conn.with_named_lock(&name, SOON, |conn| {
            conn.set_instrumentation(PanicsOnPing);
            conn.keep_alive_while(OFTEN, |watch| wait_until("the loss to be seen", || watch.is_lost()));
            seen = true;
            Ok(())
        });
    }));
    assert_eq!(unwound.unwrap_err().downcast_ref(), Some(&"the hook's own panic"));
    assert!(!seen, "the work does not go on");
    assert_free_soon(&name);
}

#[test]
fn a_panic_of_the_computation_stops_the_pings_and_is_resumed() {
    let (pool, name) = (pool_of_one(), fresh("kept_alive_panic"));
    let start = Instant::now();
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        let mut conn = pool.get().unwrap();
        let _: Outcome<()> = conn.with_named_lock(&name, SOON, |conn| {
            conn.keep_alive_while(ONCE, |_| -> () { panic!("on purpose") });
            Ok(())
        });
    }));
    assert_eq!(unwound.unwrap_err().downcast_ref(), Some(&"on purpose"));
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    assert_free_soon(&name);
    assert_sound(&pool, &name);
}

/// Nothing fails then, but the time since the last answer grows. The pings end when the network does.
#[test]
fn on_a_network_that_goes_silent_the_computation_sees_for_how_long() {
    let (network, name) = (Proxy::to(server()), fresh("silent"));
    let mut conn = MysqlConnection::establish(network.url()).unwrap();
    let bound = Duration::from_millis(300);
    assert_lost(NamedLock::new(&*name).unwrap().section(&mut conn, |conn| {
        conn.keep_alive_while(OFTEN, |watch| {
            let start = Instant::now();
            wait_until("answers", || start.elapsed() > 2 * bound && watch.silent_for() < bound);
            network.silence();
            wait_until("the silence to be seen", || watch.silent_for() > bound);
            assert!(!watch.is_lost());
            network.close();
        });
    }));
    assert_free_soon(&name);
}

#[test]
fn the_watch_can_be_asked_from_any_thread() {
    fn shared(_: &(impl Send + Sync + 'static)) {}
    connect().keep_alive_while(ONCE, |watch: &Watch| shared(watch));
}
