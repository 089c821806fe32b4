//! A network that goes silent, closes or resets.

use std::{
    thread,
    time::{Duration, Instant},
};

use diesel::{prelude::*, sql_query};

use testkit::proxy::Proxy;

use crate::{
    scenario::{Outcome::*, SOON, Scenario, Served::*, scenario},
    sql::{id, release_lock, wait_until},
    stage::{Connections, Stage, joined},
};

/// The server ends a session of which it has heard nothing for its `wait_timeout`, here one second.
pub const WAIT_TIMEOUT_OF_ONE_SECOND: Duration = Duration::from_secs(3);

pub fn scenarios() -> Vec<Scenario> {
    vec![
        // The section waits for the answer to its release, for as long as the silence lasts: nothing is said too early.
        scenario("network_silent_while_holding_then_resumed", silent_while_holding_then_resumed, &[Ok]).pool(&[Kept]),
        scenario("network_silent_while_holding_then_closed", silent_while_holding_then_closed, &[Lost])
            .free_within(SOON)
            .since("the close")
            .pool(&[Replaced]),
        // As of a host that died: the server learns it only from its own timeouts.
        scenario("network_silent_to_the_server_for_ever", silent_to_the_server_for_ever, &[Lost])
            .free_within(WAIT_TIMEOUT_OF_ONE_SECOND)
            .since("the silence (wait_timeout 1 s)")
            .pool(&[Replaced]),
        scenario("network_silent_while_waiting_then_resumed", silent_while_waiting_then_resumed, &[Ok]).pool(&[Kept]),
        scenario("network_silent_at_the_grant_then_closed", silent_at_the_grant_then_closed, &[Broken])
            .free_within(SOON)
            .since("the close")
            .pool(&[Replaced]),
        scenario("network_reset_while_holding", reset_while_holding, &[Lost])
            .free_within(SOON)
            .since("the reset")
            .pool(&[Replaced]),
        // The server may grant the lock to a session whose end it has not noticed, and then does.
        scenario("network_reset_while_waiting", reset_while_waiting, &[Broken])
            .free_within(SOON)
            .since("the holder's release")
            .pool(&[Replaced]),
    ]
}

pub fn network(stage: &Stage) -> (Proxy, Connections) {
    let network = Proxy::to(&stage.server);
    let pool = stage.pool_at(network.url());
    (network, pool)
}

/// A section whose release does not get through, until `meanwhile` has done something about it.
fn silent_while_holding(stage: &Stage, meanwhile: impl FnOnce(&Proxy)) {
    let (network, pool) = network(stage);
    let (mut conn, own) = stage.checkout(&pool);
    thread::scope(|scope| {
        let section = scope.spawn(|| {
            stage.section(&stage.lock(), &mut conn, |_| {
                network.silence();
                Result::Ok(())
            })
        });
        network.until_withheld();
        stage.check(!section.is_finished(), "the section ended without an answer from the server");
        stage.check(stage.holder() == Some(own), "the session holds the lock no more");
        meanwhile(&network);
        joined(section);
    });
    stage.free_and_serves(conn, &pool);
}

pub fn silent_while_holding_then_resumed(stage: &Stage) {
    silent_while_holding(stage, Proxy::resume);
}

pub fn silent_while_holding_then_closed(stage: &Stage) {
    silent_while_holding(stage, |network| {
        let closed = Instant::now();
        network.close();
        stage.free_since(closed);
    });
}

pub fn silent_to_the_server_for_ever(stage: &Stage) {
    let (network, pool) = network(stage);
    let (mut conn, own) = stage.checkout(&pool);
    sql_query("SET SESSION wait_timeout = 1").execute(&mut conn).expect("SET");
    stage.section(&stage.lock(), &mut conn, |_| {
        network.close_the_clients_end_only();
        Result::Ok(())
    });
    let silent = Instant::now();
    stage.check(stage.holder() == Some(own), "the server has noticed the silence too early for this test");
    stage.free_since(silent);
    drop(conn);
    stage.serves(&pool);
}

fn silent_while_waiting_then_resumed(stage: &Stage) {
    let (network, pool) = network(stage);
    let (mut conn, own) = stage.checkout(&pool);
    let mut rival = stage.rival();
    thread::scope(|scope| {
        let section = scope.spawn(|| stage.section(&stage.lock(), &mut conn, |_| Result::Ok(())));
        stage.until_waiting(own);
        network.silence();
        assert!(release_lock(&mut rival.conn, &stage.name).expect("RELEASE_LOCK"));
        wait_until("the grant", || stage.holder() == Some(own));
        stage.check(!section.is_finished(), "the section ended without an answer from the server");
        network.resume();
        joined(section);
    });
    stage.free_and_serves(conn, &pool);
}

fn silent_at_the_grant_then_closed(stage: &Stage) {
    let (network, pool) = network(stage);
    let mut rival = stage.rival();
    let (mut conn, _) = stage.checkout(&pool);
    stage.waiting_section(&mut conn, |own| {
        network.silence();
        assert!(release_lock(&mut rival.conn, &stage.name).expect("RELEASE_LOCK"));
        wait_until("the grant", || stage.holder() == Some(own));
        let closed = Instant::now();
        network.close();
        stage.free_since(closed);
    });
    stage.free_and_serves(conn, &pool);
}

pub fn reset_while_holding(stage: &Stage) {
    let (network, pool) = network(stage);
    let (mut conn, _) = stage.checkout(&pool);
    stage.section(&stage.lock(), &mut conn, |conn| {
        id(conn);
        let reset = Instant::now();
        network.reset();
        stage.free_since(reset);
        Result::Ok(())
    });
    stage.free_and_serves(conn, &pool);
}

fn reset_while_waiting(stage: &Stage) {
    let (network, pool) = network(stage);
    let rival = stage.rival();
    let (mut conn, _) = stage.checkout(&pool);
    stage.waiting_section(&mut conn, |_| network.reset());
    drop(conn);
    stage.free_after(rival);
    stage.serves(&pool);
}
