//! Sections on async connections, in the faults that their driver meets in its own way.

use std::{
    thread,
    time::{Duration, Instant},
};

use diesel::sql_query;
use diesel_async::RunQueryDsl;
use diesel_named_lock::nonblocking::NamedLock;
use testkit::{proxy::Proxy, striking::Striking};

use crate::{
    async_room::{Conn, Room},
    scenario::{Fate, Outcome::*, SOON, Scenario, Served::*, scenario},
    server, servers,
    stage::{Stage, Work, joined},
};

/// As a server is stopped, and as long as a statement runs.
const A_SECOND: Duration = Duration::from_secs(1);

pub fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("async_server_killed_in_the_closure", server_killed, &[Lost])
            .since("the restart")
            .pool(&[Replaced])
            .server(Fate::Killed),
        scenario("async_server_stopped_in_the_closure", server_stopped, &[Ok]).pool(&[Kept]).server(Fate::Stopped),
        scenario("async_connection_killed_while_waiting", connection_killed_while_waiting, &[Broken])
            .free_within(SOON)
            .since("the holder's release")
            .pool(&[Replaced]),
        scenario("async_connection_killed_in_the_closure", connection_killed, &[Lost])
            .free_within(SOON)
            .since("the kill")
            .pool(&[Replaced]),
        scenario("async_connection_killed_during_a_statement", connection_killed_during_a_statement, &[WorkFailed])
            .free_within(SOON)
            .pool(&[Replaced]),
        scenario("async_query_killed_while_waiting", query_killed_while_waiting, &[Interrupted])
            .since("the holder's release")
            .pool(&[Kept]),
        scenario("async_query_killed_during_a_statement", query_killed_during_a_statement, &[WorkFailed]).pool(&[Kept]),
        scenario("async_release_killed_several_times", release_killed_several_times, &[Ok]).pool(&[Kept]),
        scenario("async_release_killed_beyond_the_bound", release_killed_beyond_the_bound, &[Lost])
            .free_within(SOON)
            .pool(&[Replaced]),
        scenario("async_network_silent_at_the_release_then_resumed", network_silent_then_resumed, &[Ok]).pool(&[Kept]),
        // Nobody waits longer than 10 s for an answer, and then 1 s for the session to be killed.
        scenario("async_network_silent_at_the_release_for_ever", network_silent_for_ever, &[Lost])
            .free_within(SOON)
            .since("the close")
            .pool(&[Replaced]),
        scenario("async_network_reset_in_the_closure", network_reset, &[Lost])
            .free_within(SOON)
            .since("the reset")
            .pool(&[Replaced]),
        // The server hears that it is to kill the session as soon as it hears anything.
        scenario("async_network_silent_and_dropped_in_the_closure", network_silent_and_dropped, &[Dropped])
            .free_within(SOON)
            .since("the end of the silence")
            .pool(&[Replaced]),
        scenario("async_dropped_while_waiting", dropped_while_waiting, &[Dropped])
            .free_within(SOON)
            .since("the holder's release")
            .pool(&[Replaced]),
        scenario("async_dropped_in_the_closure", dropped_in_the_closure, &[Dropped])
            .free_within(SOON)
            .since("the drop")
            .pool(&[Replaced]),
        scenario("async_dropped_during_a_statement", dropped_during_a_statement, &[Dropped])
            .free_within(SOON.saturating_add(A_SECOND))
            .since("the drop (a statement of 1 s)")
            .pool(&[Replaced]),
        // A second connection of the pool kills the statement.
        scenario("async_dropped_in_turn_during_a_statement", dropped_in_turn_during_a_statement, &[Dropped])
            .free_within(SOON)
            .since("the drop (a statement of 600 s)")
            .pool(&[Replaced]),
    ]
}

fn server_killed(stage: &Stage) {
    let next = servers::spare();
    let network = Proxy::to(&stage.server);
    let room = Room::at(stage, network.url());
    let (mut conn, _) = room.checkout();
    room.section(&mut conn, || {
        network.lead_to(&next);
        server::kill(&stage.server);
    });
    stage.move_to(&next);
    room.free_and_serves(conn);
    drop(room);
    servers::give_back(next);
}

fn server_stopped(stage: &Stage) {
    let room = Room::on(stage);
    let (mut conn, _) = room.checkout();
    let start = Instant::now();
    thread::scope(|scope| {
        room.section(&mut conn, || {
            server::stop(&stage.server);
            scope.spawn(|| {
                thread::sleep(A_SECOND);
                server::go_on(&stage.server);
            });
        });
    });
    stage.check(start.elapsed() >= A_SECOND, "the section ended while the server was stopped");
    room.free_and_serves(conn);
}

/// A section in line for the lock, until `meanwhile` has done something to it.
fn while_waiting(stage: &Stage, meanwhile: impl FnOnce(u64)) {
    let (room, rival) = (Room::on(stage), stage.rival());
    let (mut conn, own) = room.checkout();
    thread::scope(|scope| {
        let section = scope.spawn(|| room.section(&mut conn, || panic!("the lock was not to be had")));
        stage.until_waiting(own);
        meanwhile(own);
        joined(section);
    });
    stage.free_after(rival);
    room.serves_after(conn);
}

fn connection_killed_while_waiting(stage: &Stage) {
    while_waiting(stage, |own| stage.kill(own));
}

fn query_killed_while_waiting(stage: &Stage) {
    while_waiting(stage, |own| stage.kill_query(own));
}

pub fn connection_killed(stage: &Stage) {
    let room = Room::on(stage);
    let (mut conn, own) = room.checkout();
    room.section(&mut conn, || {
        let killed = Instant::now();
        stage.kill(own);
        stage.free_since(killed);
    });
    room.free_and_serves(conn);
}

async fn statement(conn: &mut Conn, seconds: u32) -> Work {
    let query = format!("SELECT COUNT(*) FROM (SELECT 1 AS one) AS t WHERE SLEEP({seconds}) = one");
    sql_query(query).execute(conn).await?;
    Result::Ok(())
}

fn during_a_statement(stage: &Stage, kill: impl FnOnce(u64)) {
    let room = Room::on(stage);
    let (mut conn, own) = room.checkout();
    thread::scope(|scope| {
        let section = scope.spawn(|| {
            let lock = NamedLock::from(stage.lock());
            let section = lock.section(&mut conn, async |conn| statement(conn, 600).await);
            room.saw(room.block_on(section));
        });
        stage.until_in_state(own, "User sleep");
        kill(own);
        joined(section);
    });
    room.free_and_serves(conn);
}

fn connection_killed_during_a_statement(stage: &Stage) {
    during_a_statement(stage, |own| stage.kill(own));
}

fn query_killed_during_a_statement(stage: &Stage) {
    during_a_statement(stage, |own| stage.kill_query(own));
}

fn release_killed(stage: &Stage, times: u32) -> u32 {
    let striking = Striking::to(stage.server.tcp_url());
    let room = Room::at(stage, striking.url());
    let (mut conn, _) = room.checkout();
    room.section(&mut conn, || striking.strike(times, "RELEASE_LOCK("));
    let struck = striking.struck();
    striking.strike(0, "");
    room.free_and_serves(conn);
    struck
}

fn release_killed_several_times(stage: &Stage) {
    const TIMES: u32 = 15;
    stage.check(release_killed(stage, TIMES) == TIMES, "fewer releases were struck");
}

fn release_killed_beyond_the_bound(stage: &Stage) {
    let struck = release_killed(stage, u32::MAX);
    stage.note(format!("{struck} releases were struck"));
}

fn through_a_network(stage: &Stage) -> (Proxy, Room<'_>) {
    let network = Proxy::to(&stage.server);
    let room = Room::at(stage, network.url());
    (network, room)
}

fn network_silent_then_resumed(stage: &Stage) {
    let (network, room) = through_a_network(stage);
    let (mut conn, own) = room.checkout();
    thread::scope(|scope| {
        let section = scope.spawn(|| room.section(&mut conn, || network.silence()));
        network.until_withheld();
        stage.check(!section.is_finished(), "the section ended without an answer from the server");
        stage.check(stage.holder() == Some(own), "the session holds the lock no more");
        network.resume();
        joined(section);
    });
    room.free_and_serves(conn);
}

/// With tokio's clock stopped, time jumps at once to the next moment that a task waits for.
fn network_silent_for_ever(stage: &Stage) {
    let network = Proxy::to(&stage.server);
    let room = Room::with_a_clock_to_stop(stage, network.url());
    let (mut conn, own) = room.checkout();
    let began = room.block_on(async { tokio::time::Instant::now() });
    room.section(&mut conn, || {
        network.silence();
        tokio::time::pause();
    });
    let took = room.block_on(async { began.elapsed() });
    room.block_on(async { tokio::time::resume() });
    let limit = Duration::from_secs(10)..Duration::from_secs(12);
    stage.check(limit.contains(&took), &format!("given up after {took:.1?}"));
    stage.check(stage.holder() == Some(own), "the session holds the lock no more");
    let closed = Instant::now();
    network.close();
    stage.free_since(closed);
    room.serves_after(conn);
}

fn network_reset(stage: &Stage) {
    let (network, room) = through_a_network(stage);
    let (mut conn, _) = room.checkout();
    room.section(&mut conn, || {
        let reset = Instant::now();
        network.reset();
        stage.free_since(reset);
    });
    room.free_and_serves(conn);
}

fn network_silent_and_dropped(stage: &Stage) {
    let (network, room) = through_a_network(stage);
    let (mut conn, own) = room.checkout();
    let silent = || {
        stage.holder() == Some(own) && {
            network.silence();
            true
        }
    };
    room.drop_when("the silence", silent, room.pending(&mut conn));
    network.until_withheld();
    stage.check(stage.holder() == Some(own), "the server has heard of it");
    let resumed = Instant::now();
    network.resume();
    stage.free_since(resumed);
    room.serves_after(conn);
}

pub fn dropped_while_waiting(stage: &Stage) {
    let (room, rival) = (Room::on(stage), stage.rival());
    let (mut conn, own) = room.checkout();
    room.drop_when("the wait", || stage.is_waiting(own), room.pending(&mut conn));
    stage.free_after(rival);
    room.serves_after(conn);
    stage.until_gone(own);
}

pub fn dropped_in_the_closure(stage: &Stage) {
    let room = Room::on(stage);
    let (mut conn, own) = room.checkout();
    room.drop_when("the closure", || stage.holder() == Some(own), room.pending(&mut conn));
    stage.free_now();
    room.serves_after(conn);
}

fn dropped_during_a_statement(stage: &Stage) {
    let room = Room::on(stage);
    let (mut conn, own) = room.checkout();
    let lock = NamedLock::from(stage.lock());
    let section = lock.section(&mut conn, async |conn| statement(conn, 1).await);
    room.drop_when("the statement", || stage.is_in_state(own, "User sleep"), section);
    stage.free_now();
    room.serves_after(conn);
}

fn dropped_in_turn_during_a_statement(stage: &Stage) {
    let room = Room::on(stage);
    let (conn, own) = room.checkout();
    room.block_on(async { drop(conn) });
    let locks = room.locks();
    let lock = NamedLock::from(stage.lock());
    let section = locks.section(&lock, async |conn| statement(conn, 600).await);
    room.drop_when("the statement", || stage.is_in_state(own, "User sleep"), section);
    stage.free_now();
    room.serves();
}
