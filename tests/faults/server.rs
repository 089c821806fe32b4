//! The server killed, and stopped for a while.

use std::{
    fs,
    process::Command,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use test_server::Server;

use testkit::proxy::Proxy;

use crate::{
    scenario::{Fate, Outcome::*, Scenario, Served::*, scenario},
    servers,
    sql::{PATIENCE, wait_until},
    stage::{Checkout, Stage, joined},
};

/// For how long a server is stopped.
const STOPPED: Duration = Duration::from_millis(1500);

pub fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("server_killed_while_waiting", server_killed_while_waiting, &[Broken])
            .since("the restart")
            .pool(&[Replaced])
            .server(Fate::Killed),
        scenario("server_killed_during_the_work", server_killed_during_the_work, &[Lost])
            .since("the restart")
            .pool(&[Replaced])
            .server(Fate::Killed),
        // Longer than the section would wait: it learns late that it was in vain.
        scenario("server_stopped_while_waiting", server_stopped_while_waiting, &[Timeout])
            .since("the holder's release")
            .pool(&[Kept])
            .server(Fate::Stopped),
        scenario("server_stopped_during_the_work", server_stopped_during_the_work, &[Ok])
            .pool(&[Kept])
            .server(Fate::Stopped),
    ]
}

/// Plays `section` on a connection to the server, which dies when it says so. Its address then leads to a new one.
pub fn killed(stage: &Stage, section: impl FnOnce(Checkout, &dyn Fn()) -> Checkout) {
    let next = servers::spare();
    let network = Proxy::to(&stage.server);
    let pool = stage.pool_at(network.url());
    let (conn, _) = stage.checkout(&pool);
    let conn = section(conn, &|| {
        network.lead_to(&next);
        kill(&stage.server);
    });
    stage.move_to(&next);
    stage.free_and_serves(conn, &pool);
    drop(pool);
    servers::give_back(Arc::clone(&next));
}

pub fn server_killed_while_waiting(stage: &Stage) {
    let _rival = stage.rival();
    killed(stage, |mut conn, kill| {
        stage.waiting_section(&mut conn, |_| kill());
        conn
    });
}

pub fn server_killed_during_the_work(stage: &Stage) {
    killed(stage, |mut conn, kill| {
        stage.section(&stage.lock(), &mut conn, |_| {
            kill();
            Result::Ok(())
        });
        conn
    });
}

pub fn server_stopped_while_waiting(stage: &Stage) {
    let (pool, rival) = (stage.pool(), stage.rival());
    let (mut conn, own) = stage.checkout(&pool);
    let lock = stage.lock().timeout(Duration::from_secs(1));
    let start = Instant::now();
    thread::scope(|scope| {
        let section = scope.spawn(|| stage.section(&lock, &mut conn, |_| panic!("the lock was not to be had")));
        stage.until_waiting(own);
        stop(&stage.server);
        thread::sleep(STOPPED);
        go_on(&stage.server);
        joined(section);
    });
    stage.check(start.elapsed() >= STOPPED, "the section ended while the server was stopped");
    stage.free_after(rival);
    drop(conn);
    stage.serves(&pool);
}

fn server_stopped_during_the_work(stage: &Stage) {
    let pool = stage.pool();
    let (mut conn, _) = stage.checkout(&pool);
    let start = Instant::now();
    thread::scope(|scope| {
        stage.section(&stage.lock(), &mut conn, |_| {
            stop(&stage.server);
            scope.spawn(|| {
                thread::sleep(STOPPED);
                go_on(&stage.server);
            });
            Result::Ok(())
        });
    });
    stage.check(start.elapsed() >= STOPPED, "the section ended while the server was stopped");
    stage.free_and_serves(conn, &pool);
}

fn signal(name: &str, server: &Server) {
    let pid = server.pid().expect("a private server").to_string();
    let status = Command::new("kill").args([&format!("-{name}"), &pid]).status().expect("kill");
    assert!(status.success(), "kill -{name} {pid}: {status}");
}

pub fn kill(server: &Server) {
    signal("KILL", server);
    assert!(server.ends_within(PATIENCE), "the server survives");
}

pub fn go_on(server: &Server) {
    signal("CONT", server);
}

pub fn stop(server: &Server) {
    signal("STOP", server);
    let stat = format!("/proc/{}/stat", server.pid().expect("a private server"));
    wait_until("the server to be stopped", || fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") T ")));
}
