//! MySQL Router.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use diesel::connection::SimpleConnection;
use diesel_named_lock::{
    NamedLockError, NamedLockExt,
    operator::{Severity, Topic, server_report},
};

use testkit::world::*;

use crate::{proxies::*, report::assert_found};

/// Its configuration besides what every one needs: of `[routing]`, and other sections.
fn router(routing: &str, others: &str) -> Proxy {
    let (upstream, unpacked) = (upstream(), unpacked());
    Proxy::start("mysqlrouter", |port, folder| {
        let (folder, unpacked) = (folder.display(), unpacked.display());
        format!(
            "[DEFAULT]\nlogging_folder={folder}\nruntime_folder={folder}\ndata_folder={folder}\n\
             plugin_folder={unpacked}/usr/lib/mysqlrouter/plugin\n\
             [routing:mysql]\nbind_address=127.0.0.1\nbind_port={port}\ndestinations={upstream}\n\
             routing_strategy=first-available\nprotocol=classic\nclient_ssl_mode=DISABLED\nserver_ssl_mode=DISABLED\n\
             {routing}\n{others}\n"
        )
    })
}

#[test]
fn mysql_router_is_recognized_by_its_connection_attributes() {
    if !is_mysql() {
        return;
    }
    let report = server_report(&mut router("", "").connect()).unwrap();
    assert_found(&report, Topic::Proxy, Severity::Warning, "MySQL Router");
}

/// A statement that fails after its columns were told is too much for it, and it cuts the connection.
#[test]
fn behind_mysql_router_a_fraction_of_a_second_that_runs_out_is_broken_and_whole_seconds_are_a_timeout() {
    if !is_mysql() {
        return;
    }
    let (router, name) = (router("", ""), fresh("fraction"));
    let _elsewhere = hold_elsewhere(&name);
    let wait = |timeout| router.connect().with_named_lock(&name, timeout, |_| Ok::<_, NamedLockError>(()));
    let outcome = wait(Duration::from_millis(300));
    assert!(matches!(outcome, Err(NamedLockError::Broken { .. })), "{outcome:?}");
    let outcome = wait(Duration::from_secs(1));
    assert!(matches!(outcome, Err(NamedLockError::Timeout { .. })), "{outcome:?}");
}

/// It keeps a session for the client from the first prepared statement on.
#[test]
fn behind_a_mysql_router_that_shares_sessions_a_section_has_one_of_its_own() {
    if !is_mysql() {
        return;
    }
    let pool = "[connection_pool]\nmax_idle_server_connections=8\n";
    let (router, name) = (router("connection_sharing=1\nconnection_sharing_delay=0", pool), fresh("shared"));
    let inside = AtomicU32::new(0);
    let sections = || {
        let mut conn = router.connect();
        for _ in 0..20 {
            let outcome = conn.with_named_lock(&name, SOON, |conn| {
                assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "alone");
                conn.batch_execute("DO 1").expect("a statement that may be shared");
                assert_eq!(holder(&name), Some(id(conn)));
                inside.fetch_sub(1, Ordering::SeqCst);
                Ok::<_, NamedLockError>(())
            });
            outcome.expect("the lock");
        }
        let own = id(&mut conn);
        (conn, own)
    };
    let served: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(sections)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(served.iter().all(|(_, own)| is_alive(*own)), "each client has a session");
}

/// Documented in `docs/deployments.md`. A section is no such client: its lock is released before.
#[test]
fn the_pool_of_mysql_router_keeps_the_lock_of_a_client_that_closes_while_it_holds_one() {
    if !is_mysql() {
        return;
    }
    const IDLE: Duration = Duration::from_secs(2);
    let pool = format!("[connection_pool]\nmax_idle_server_connections=8\nidle_timeout={}\n", IDLE.as_secs());
    let (router, name) = (router("", &pool), fresh("pooled"));
    let mut conn = router.connect();
    assert_eq!(get_lock(&mut conn, &name, 0), Some(1));
    let closed = Instant::now();
    drop(conn);
    wait_until("the pool to close the session", || holder(&name).is_none());
    assert!(closed.elapsed() > IDLE / 2, "free after {:?}", closed.elapsed());
}
