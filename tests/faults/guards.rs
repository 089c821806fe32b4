//! Guards that are watched: the loss is told by itself, while the lock is held.

use std::{
    io::Read,
    process::Command,
    time::{Duration, Instant},
};

use diesel_named_lock::{GuardError, NamedLock, NamedLockGuard, WatchedGuard};
use testkit::{
    child::{self, Child},
    proxy::Proxy,
};

use crate::{
    scenario::{Fate, Outcome, Outcome::*, SOON, Scenario, Served::*, scenario},
    server,
    sql::{PATIENCE, connect},
    stage::{Checkout, Connections, Stage, catch},
};

pub const OFTEN: Duration = Duration::from_millis(20);

/// The idle limit of a guard, if it has one: after it, the server kills a session that it does not hear.
pub const IDLE_LIMIT: Duration = Duration::from_secs(1);
pub const IDLE_LIMIT_OF_ONE_SECOND: Duration = Duration::from_secs(3);

/// Which argument makes a child hold a guard.
pub const CHILD: &str = "guard";

pub fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("guard_kept_alive_for_a_minute", kept_alive_for_a_minute, &[Ok]).pool(&[Kept]),
        scenario("guard_connection_killed", connection_killed, &[Lost])
            .free_within(SOON)
            .since("the kill")
            .pool(&[Replaced]),
        scenario("guard_server_killed", server_killed, &[Lost])
            .since("the restart")
            .pool(&[Replaced])
            .server(Fate::Killed),
        scenario("guard_server_stopped", server_stopped, &[Ok]).pool(&[Kept]).server(Fate::Stopped),
        scenario("guard_network_reset", network_reset, &[Lost]).free_within(SOON).since("the reset").pool(&[Replaced]),
        scenario("guard_network_silent_then_resumed", network_silent, &[Lost])
            .free_within(IDLE_LIMIT_OF_ONE_SECOND)
            .since("the silence (idle limit 1 s)")
            .pool(&[Replaced]),
        scenario("guard_dropped_by_a_panic", dropped_by_a_panic, &[Panicked]).pool(&[Replaced]),
        scenario("guard_client_stopped_for_too_long", client_stopped, &[Lost])
            .free_within(IDLE_LIMIT_OF_ONE_SECOND)
            .since("the stop (idle limit 1 s)"),
    ]
}

type Watched = WatchedGuard<NamedLockGuard<Checkout>>;

/// Holds the lock by a watched guard until `meanwhile` has done something to it; then releases it.
fn guarded(stage: &Stage, lock: &NamedLock, conn: Checkout, meanwhile: impl FnOnce(&Watched)) -> Checkout {
    let guard = lock.acquire(conn).unwrap_or_else(|failed| panic!("{failed}"));
    let watched = guard.keep_alive(OFTEN).unwrap_or_else(|failed| panic!("{failed}"));
    meanwhile(&watched);
    let (outcome, conn) = match watched.into_guard().release() {
        Result::Ok(conn) => (Ok, conn),
        Err(GuardError { conn, error }) => (Outcome::of(&error), conn),
    };
    stage.saw(outcome);
    conn
}

fn until_lost(stage: &Stage, watched: &Watched) {
    stage.check(watched.lost(PATIENCE), "the loss was not told");
}

fn connection_killed(stage: &Stage) {
    let pool = stage.pool();
    let (conn, own) = stage.checkout(&pool);
    let conn = guarded(stage, &stage.lock(), conn, |watched| {
        let killed = Instant::now();
        stage.kill(own);
        stage.free_since(killed);
        until_lost(stage, watched);
    });
    stage.free_and_serves(conn, &pool);
}

/// Thirty times as long as the server lets its session be idle.
fn kept_alive_for_a_minute(stage: &Stage) {
    let pool = stage.pool();
    let (conn, own) = stage.checkout(&pool);
    let conn = guarded(stage, &stage.lock().idle_limit(2 * IDLE_LIMIT), conn, |watched| {
        stage.check(!watched.lost(Duration::from_secs(60)), "it was lost");
        stage.check(stage.holder() == Some(own), "it is not held");
    });
    stage.free_and_serves(conn, &pool);
}

fn server_killed(stage: &Stage) {
    server::killed(stage, |conn, kill| {
        guarded(stage, &stage.lock(), conn, |watched| {
            kill();
            until_lost(stage, watched);
        })
    });
}

fn server_stopped(stage: &Stage) {
    let pool = stage.pool();
    let (conn, _) = stage.checkout(&pool);
    let conn = guarded(stage, &stage.lock(), conn, |watched| {
        server::stop(&stage.server);
        stage.check(!watched.lost(Duration::from_millis(500)), "a server that is silent for a while is no loss");
        server::go_on(&stage.server);
    });
    stage.free_and_serves(conn, &pool);
}

fn through_a_network(stage: &Stage) -> (Proxy, Connections) {
    let network = Proxy::to(&stage.server);
    let pool = stage.pool_at(network.url());
    (network, pool)
}

fn network_reset(stage: &Stage) {
    let (network, pool) = through_a_network(stage);
    let (conn, _) = stage.checkout(&pool);
    let conn = guarded(stage, &stage.lock(), conn, |watched| {
        let reset = Instant::now();
        network.reset();
        stage.free_since(reset);
        until_lost(stage, watched);
    });
    stage.free_and_serves(conn, &pool);
}

fn network_silent(stage: &Stage) {
    let (network, pool) = through_a_network(stage);
    let (conn, _) = stage.checkout(&pool);
    let conn = guarded(stage, &stage.lock().idle_limit(IDLE_LIMIT), conn, |watched| {
        let silent = Instant::now();
        network.silence();
        until_lost(stage, watched);
        stage.free_since(silent);
        network.resume();
    });
    stage.free_and_serves(conn, &pool);
}

/// A pool takes no connection back from a thread that panics.
fn dropped_by_a_panic(stage: &Stage) {
    let pool = stage.pool();
    let (conn, _) = stage.checkout(&pool);
    let unwound = catch(|| {
        guarded(stage, &stage.lock(), conn, |_| std::panic::panic_any(crate::perform::ON_PURPOSE));
    });
    stage.check(unwound.is_err(), "the panic is resumed");
    stage.saw(Panicked);
    stage.free_now();
    stage.serves(&pool);
}

/// In a child: prints that it holds the lock. When told to continue, prints whether it is lost, and the outcome of the release.
pub fn main(arguments: &[String]) {
    let lock = NamedLock::new(&arguments[1]).expect("a valid name").idle_limit(IDLE_LIMIT);
    let guard = lock.acquire(connect(&arguments[0])).unwrap_or_else(|failed| panic!("{failed}"));
    let watched = guard.keep_alive(OFTEN).unwrap_or_else(|failed| panic!("{failed}"));
    child::say("holding");
    let _ = std::io::stdin().read(&mut [0]);
    // Before any ping: the time alone tells.
    child::say(watched.is_lost());
    child::say(watched.into_guard().release().err().is_some_and(|failed| Outcome::of(&failed.error) == Lost));
}

fn client_stopped(stage: &Stage) {
    let mut client = Child::start(&[stage.server.url(), &stage.name, CHILD], &[]);
    assert_eq!(client.hear(), "holding");
    let signal = |name: &str| {
        let status = Command::new("kill").args([name, &client.id().to_string()]).status().expect("kill");
        assert!(status.success(), "kill {name}: {status}");
    };
    let stopped = Instant::now();
    signal("-STOP");
    stage.free_since(stopped);
    signal("-CONT");
    client.go();
    stage.check(client.hear() == "true", "the loss was not known at once");
    stage.check(client.hear() == "true", "the release did not say so");
    stage.saw(Lost);
}
