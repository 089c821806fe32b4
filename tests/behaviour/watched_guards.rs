//! Guards that are kept alive, and tell by themselves that their lock is lost.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use diesel::{
    MysqlConnection,
    connection::{CacheSize, Instrumentation, InstrumentationEvent, SimpleConnection},
    prelude::*,
    r2d2::PooledConnection,
    sql_query,
};
use diesel_named_lock::{KeepAliveError, NamedLock, NamedLockConnection, NamedLockError, NamedLockGuard, WatchedGuard};
use test_server::Server;

use testkit::{proxy::Proxy, world::*};

use testkit::round_trips::last_statement;

const OFTEN: Duration = Duration::from_millis(10);
const ONCE: Duration = Duration::from_secs(3600);

fn guard_on<C: NamedLockConnection>(conn: C, name: &str) -> NamedLockGuard<C> {
    NamedLock::new(name).unwrap().timeout(SOON).acquire(conn).unwrap()
}

fn watched(name: &str) -> WatchedGuard<NamedLockGuard<MysqlConnection>> {
    guard_on(connect(), name).keep_alive(OFTEN).unwrap()
}

fn pooled(name: &str) -> WatchedGuard<NamedLockGuard<PooledConnection<Manager>>> {
    guard_on(pool_of_one().get().unwrap(), name).keep_alive(OFTEN).unwrap()
}

/// The server ends it after three seconds of idleness: enough for a ping that is late on a busy machine.
fn impatient() -> MysqlConnection {
    let mut conn = connect();
    sql_query("SET SESSION wait_timeout = 3").execute(&mut conn).unwrap();
    conn
}

fn kill_and_wait(own: u64) {
    kill(own);
    wait_until("the killed session to be gone", || !is_alive(own));
}

#[track_caller]
fn assert_lost<C: NamedLockConnection>(guard: NamedLockGuard<C>) {
    let failed = guard.release().err().expect("the lock is lost");
    assert!(matches!(failed.error, NamedLockError::Lost { .. }), "{failed:?}");
}

#[test]
fn a_watched_guard_outlives_the_wait_timeout_of_its_session() {
    let name = fresh("watched");
    let watched = guard_on(impatient(), &name).keep_alive(Duration::from_millis(600)).unwrap();
    let own = watched.connection_id().get();
    assert!(!watched.lost(Duration::from_secs(6)));
    assert!(watched.silent_for() < Duration::from_secs(3));
    assert_eq!(holder(&name), Some(own));
    let mut conn = watched.into_guard().release().unwrap();
    assert_free(&name);
    assert_eq!(id(&mut conn), own);
}

/// Without this, the test above could not fail.
#[test]
fn a_guard_that_is_not_watched_does_not_and_says_so() {
    let name = fresh("unwatched");
    let mut guard = guard_on(impatient(), &name);
    wait_until("the server to end the idle session", || holder(&name).is_none());
    assert!(guard.still_holds().is_err());
    assert_lost(guard);
}

#[test]
fn a_killed_session_is_reported_to_a_waiter_to_a_question_and_to_the_callback() {
    let name = fresh("watched_killed");
    let watched = watched(&name);
    let (calls, called) = mpsc::channel();
    let first = calls.clone();
    watched.on_loss(move || first.send("by the ping").unwrap());
    assert!(!watched.is_lost() && !watched.lost(5 * OFTEN));
    thread::scope(|scope| {
        let waiting = [(); 3].map(|()| scope.spawn(|| watched.lost(SOON)));
        kill(watched.connection_id().get());
        assert!(waiting.into_iter().all(|thread| thread.join().unwrap()));
    });
    assert!(watched.is_lost());
    assert_eq!(called.recv_timeout(SOON), Ok("by the ping"));
    watched.on_loss(move || calls.send("at once").unwrap());
    assert_eq!(called.try_recv(), Ok("at once"));
    assert_lost(watched.into_guard());
    assert_eq!(called.try_recv(), Err(mpsc::TryRecvError::Disconnected), "once each");
    assert_free(&name);
}

#[test]
fn a_callback_that_panics_does_no_harm() {
    let name = fresh("watched_callback");
    let watched = watched(&name);
    watched.on_loss(|| panic!("the callback's own panic"));
    kill_and_wait(watched.connection_id().get());
    assert!(watched.lost(SOON));
    assert_lost(watched.into_guard());
}

#[test]
fn a_lock_that_the_server_calls_free_is_lost_though_the_session_lives() {
    let name = fresh("watched_by_hand");
    let mut guard = guard_on(connect(), &name);
    release_lock(&mut *guard, &name);
    let watched = guard.keep_alive(OFTEN).unwrap();
    assert!(watched.lost(SOON));
    assert_lost(watched.into_guard());
}

#[test]
fn an_interval_that_can_not_be_kept_gives_the_guard_back() {
    let name = fresh("watched_interval");
    let refused = |guard: NamedLockGuard<MysqlConnection>, interval| {
        let refused = guard.keep_alive(interval).unwrap_err();
        let KeepAliveError::InvalidInterval { longest, .. } = &refused else { panic!("{refused:?}") };
        let (longest, message) = (*longest, refused.to_string());
        let mut guard = refused.into_guard();
        assert!(guard.still_holds().unwrap());
        (longest, message, guard.release().unwrap())
    };
    let three_seconds = Some(Duration::from_secs(3));
    let (longest, message, conn) = refused(guard_on(impatient(), &name), Duration::ZERO);
    assert_eq!((longest, &*message), (None, "invalid interval 0ns: must be greater than zero"));
    let (longest, message, _) = refused(guard_on(conn, &name), Duration::from_secs(3));
    let told = "invalid interval 3s: must be greater than zero and less than 3s, the session's `wait_timeout`";
    assert_eq!((longest, &*message), (three_seconds, told));
    let limited = NamedLock::new(&*name).unwrap().idle_limit(Duration::from_secs(3)).acquire(connect()).unwrap();
    assert_eq!(refused(limited, ONCE).0, three_seconds, "the idle limit is the session's `wait_timeout`");
    assert_free(&name);
}

#[test]
fn a_guard_whose_session_is_gone_is_not_watched() {
    let name = fresh("watched_too_late");
    let guard = guard_on(connect(), &name);
    kill_and_wait(guard.connection_id().get());
    let refused = guard.keep_alive(OFTEN).unwrap_err();
    assert!(matches!(refused, KeepAliveError::Database { .. }), "{refused:?}");
    assert_lost(refused.into_guard());
}

#[test]
fn it_is_pinged_at_once_and_at_every_interval() {
    let name = fresh("watched_pings");
    let guard = guard_on(connect(), &name);
    let own = guard.connection_id().get();
    let before = last_statement(own);
    let watched = guard.keep_alive(OFTEN).unwrap();
    let mut last = before;
    for _ in 0..5 {
        wait_until("a ping", || last_statement(own) > last);
        last = last_statement(own);
    }
    drop(watched);
}

#[test]
fn the_guard_comes_back_without_waiting_for_the_interval() {
    let (name, start) = (fresh("watched_back"), Instant::now());
    let watched = guard_on(connect(), &name).keep_alive(ONCE).unwrap();
    watched.into_guard().release().unwrap();
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
}

#[test]
fn a_watched_guard_that_is_dropped_releases() {
    let (pool, name) = (pool_of_one(), fresh("watched_drop"));
    drop(guard_on(pool.get().unwrap(), &name).keep_alive(ONCE).unwrap());
    assert_free(&name);
    assert_sound(&pool, &name);
}

#[test]
fn a_watched_guard_that_is_dropped_by_a_panic_releases() {
    let (pool, name) = (pool_of_one(), fresh("watched_panic"));
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        let _watched = guard_on(pool.get().unwrap(), &name).keep_alive(ONCE).unwrap();
        panic!("on purpose");
    }));
    assert_eq!(unwound.unwrap_err().downcast_ref(), Some(&"on purpose"));
    assert_free(&name);
    assert_sound(&pool, &name);
}

#[test]
fn a_pool_replaces_the_connection_of_a_watched_guard_that_lost_its_lock() {
    let (pool, name) = (pool_of_one(), fresh("watched_replaced"));
    let watched = guard_on(pool.get().unwrap(), &name).keep_alive(OFTEN).unwrap();
    let own = watched.connection_id().get();
    kill(own);
    assert!(watched.lost(SOON));
    drop(watched);
    assert_sound(&pool, &name);
    assert_ne!(id(&mut pool.get().unwrap()), own);
}

#[test]
fn pings_that_kill_query_strikes_are_no_loss() {
    let name = fresh("watched_struck");
    let watched = guard_on(connect(), &name).keep_alive(Duration::from_millis(1)).unwrap();
    let mut killer = connect();
    for _ in 0..100 {
        killer.batch_execute(&format!("KILL QUERY {}", watched.connection_id())).expect("KILL QUERY");
        // So that no ping meets two of them.
        let struck = Instant::now();
        wait_until("a ping after it", || watched.silent_for() < struck.elapsed() || watched.is_lost());
    }
    assert!(!watched.is_lost());
    watched.into_guard().release().unwrap();
}

/// What it has said must hold at the end, although the session could continue.
#[test]
fn a_session_that_did_not_answer_is_lost_though_it_lives() {
    let private = Server::start(server().product()).expect("a server of its own");
    let connect = || MysqlConnection::establish(private.url()).unwrap();
    let (mut admin, name) = (connect(), fresh("watched_refused"));
    // With none, no ping can be prepared.
    let mut allow = |statements: u32| {
        admin.batch_execute(&format!("SET GLOBAL max_prepared_stmt_count = {statements}")).unwrap();
    };
    let mut guard = guard_on(connect(), &name);
    guard.set_prepared_statement_cache_size(CacheSize::Disabled);
    let watched = guard.keep_alive(OFTEN).unwrap();
    allow(0);
    assert!(watched.lost(SOON));
    allow(10_000);
    assert_lost(watched.into_guard());
}

/// Nothing fails then. From the session's `wait_timeout` on, the server may have given the lock to somebody else.
#[test]
fn on_a_network_that_goes_silent_the_loss_is_reported_after_the_wait_timeout_and_a_drop_does_not_hang() {
    let (network, name) = (Proxy::to(server()), fresh("watched_silent"));
    // Long enough for a ping that is late on a busy machine.
    let limit = Duration::from_secs(3);
    let lock = NamedLock::new(&*name).unwrap().idle_limit(limit);
    let watched = lock.acquire(MysqlConnection::establish(network.url()).unwrap()).unwrap();
    let watched = watched.keep_alive(OFTEN).unwrap();
    assert!(!watched.lost(limit + Duration::from_secs(1)), "as long as the network speaks");
    network.silence();
    let silent = Instant::now();
    assert!(watched.lost(SOON));
    assert!(watched.silent_for() >= limit && silent.elapsed() < SOON / 2, "{watched:?}");
    assert_free_soon(&name);
    let start = Instant::now();
    drop(watched);
    assert!(start.elapsed() < SOON / 2, "{:?}", start.elapsed());
    network.close();
}

#[test]
fn a_loss_that_was_reported_stays_one_when_the_network_speaks_again() {
    let (network, name) = (Proxy::to(server()), fresh("watched_again"));
    let guard = NamedLock::new(&*name).unwrap().idle_limit(Duration::from_secs(3));
    let guard = guard.acquire(MysqlConnection::establish(network.url()).unwrap()).unwrap();
    let watched = guard.keep_alive(OFTEN).unwrap();
    network.silence();
    assert!(watched.lost(SOON));
    network.resume();
    assert!(watched.is_lost());
    assert_lost(watched.into_guard());
    assert_free_soon(&name);
}

/// Strikes at every ping, as Diesel shows it to a hook.
struct PanicsOnPing;

impl Instrumentation for PanicsOnPing {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        if let InstrumentationEvent::StartQuery { query, .. } = event {
            assert!(!query.to_string().contains("IS_USED_LOCK"), "the hook's own panic");
        }
    }
}

#[test]
fn a_panic_of_a_hook_in_a_ping_is_a_loss_and_is_resumed_when_the_guard_is_asked_for() {
    let name = fresh("watched_hook");
    let mut guard = guard_on(connect(), &name);
    guard.set_instrumentation(PanicsOnPing);
    let watched = guard.keep_alive(OFTEN).unwrap();
    assert!(watched.lost(SOON));
    let unwound = catch_unwind(AssertUnwindSafe(|| watched.into_guard().names().len()));
    assert_eq!(unwound.unwrap_err().downcast_ref(), Some(&"the hook's own panic"));
    assert_free_soon(&name);
}

#[test]
fn it_can_be_asked_from_any_thread_and_shows_what_it_watches() {
    fn shared(_: &(impl Send + Sync + 'static)) {}
    let name = fresh("watched_shared");
    let watched = pooled(&name);
    shared(&watched);
    let shown = format!("{watched:?}");
    assert!(shown.contains(&name) && shown.contains("is_lost: false"), "{shown}");
    assert_eq!(watched.names()[0].as_str(), name);
}
