//! HAProxy, which cuts what is idle for longer than its timeouts: sessions in a section, and sessions that wait for a lock.

use std::{thread, time::Duration};

use diesel_named_lock::{NamedLockError, NamedLockExt};

use testkit::world::*;

use crate::proxies::*;

/// Of the proxy: `timeout client` and `timeout server`. Enough for a ping that is late on a busy machine.
const IDLE: Duration = Duration::from_secs(3);

fn haproxy() -> Proxy {
    let (idle, upstream) = (IDLE.as_millis(), upstream());
    Proxy::start("haproxy", |port, _| {
        format!(
            "defaults\n  mode tcp\n  timeout connect 5s\n  timeout client {idle}ms\n  timeout server {idle}ms\n\
             listen mysql\n  bind 127.0.0.1:{port}\n  server one {upstream}\n"
        )
    })
}

#[test]
fn behind_haproxy_a_section_that_is_idle_for_longer_than_its_timeout_is_lost() {
    let (proxy, name) = (haproxy(), fresh("idle"));
    let mut conn = proxy.connect();
    let own = id(&mut conn);
    let outcome = conn.with_named_lock(&name, SOON, |_| {
        wait_until("the session to be cut", || !is_alive(own));
        Ok::<_, NamedLockError>(())
    });
    assert!(matches!(outcome, Err(NamedLockError::Lost { .. })), "{outcome:?}");
    assert_free_soon(&name);
}

#[test]
fn behind_haproxy_keep_alive_while_keeps_the_lock() {
    let (proxy, name) = (haproxy(), fresh("kept_alive"));
    let outcome: Result<_, NamedLockError> = proxy.connect().with_named_lock(&name, SOON, |conn| {
        Ok(conn.keep_alive_while(IDLE / 12, |watch| {
            thread::sleep(IDLE * 3 / 2);
            watch.is_lost()
        }))
    });
    assert!(!outcome.unwrap());
    assert_free(&name);
}

/// Documented in `docs/deployments.md`.
#[test]
fn behind_haproxy_waiting_for_longer_than_its_timeout_is_broken_and_leaves_no_waiter() {
    let (proxy, name) = (haproxy(), fresh("waiting"));
    let mut conn = proxy.connect();
    let own = id(&mut conn);
    let elsewhere = hold_elsewhere(&name);
    let outcome = conn.with_named_lock(&name, SOON, |_| Ok::<_, NamedLockError>(()));
    assert!(matches!(outcome, Err(NamedLockError::Broken { .. })), "{outcome:?}");
    // The server looks once a second whether who waits is still there.
    wait_until("the waiting session to be gone", || !is_alive(own));

    let outcome = proxy.connect().with_named_lock(&name, IDLE / 12, |_| Ok::<_, NamedLockError>(()));
    assert!(matches!(outcome, Err(NamedLockError::Timeout { .. })), "{outcome:?}");
    drop(elsewhere);
    assert_free_soon(&name);
}
