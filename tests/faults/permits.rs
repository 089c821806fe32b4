//! Permits, and a lock that is held alone: what befalls any lock, and what befalls the first in line, whom others wait behind.

use std::{
    thread::{self, Scope, ScopedJoinHandle},
    time::{Duration, Instant},
};

use diesel::{prelude::*, sql_query};

use crate::{
    client, killed,
    lock::Kind::*,
    network::{self, WAIT_TIMEOUT_OF_ONE_SECOND},
    nonblocking,
    scenario::{Fate, Outcome::*, SOON, Scenario, Served::*, scenario},
    server,
    sql::{PATIENCE, id, wait_until},
    stage::{Checkout, Connections, Rival, Stage, joined},
};

/// A server looks once a second whether the client of a session is still there that waits in its queue.
const A_LOOK: Duration = Duration::from_secs(1);

/// For how long those wait whose network goes silent: the server hears of nothing else.
const TIMEOUT: Duration = Duration::from_secs(3);

pub fn scenarios() -> Vec<Scenario> {
    let silence = TIMEOUT + WAIT_TIMEOUT_OF_ONE_SECOND;
    vec![
        // These wait for timeouts, so they come first.
        scenario("permit_first_in_line_network_silent_for_ever", head_silent, &[Broken, Ok])
            .over(Permit)
            .free_within(WAIT_TIMEOUT_OF_ONE_SECOND)
            .since("the silence (wait_timeout 1 s)")
            .pool(&[Replaced]),
        scenario("exclusive_first_in_line_network_silent_for_ever", head_silent, &[Broken, Ok])
            .over(Exclusive)
            .free_within(silence)
            .since("the silence (timeout 3 s, wait_timeout 1 s)")
            .pool(&[Replaced]),
        scenario("permit_server_killed_with_a_line", server_killed_with_a_line, &[Lost, Broken])
            .over(Permit)
            .since("the restart")
            .pool(&[Replaced])
            .server(Fate::Killed),
        scenario("exclusive_server_killed_with_a_line", server_killed_with_a_line, &[Lost, Broken])
            .over(Exclusive)
            .since("the restart")
            .pool(&[Replaced])
            .server(Fate::Killed),
        // Longer than the section would wait.
        scenario("permit_server_stopped_while_waiting", server::server_stopped_while_waiting, &[Timeout])
            .over(Permit)
            .since("the holder's release")
            .pool(&[Kept])
            .server(Fate::Stopped),
        scenario("permit_network_silent_to_the_server_for_ever", network::silent_to_the_server_for_ever, &[Lost])
            .over(Permit)
            .free_within(WAIT_TIMEOUT_OF_ONE_SECOND)
            .since("the silence (wait_timeout 1 s)")
            .pool(&[Replaced]),
        scenario("exclusive_network_silent_to_the_server_for_ever", network::silent_to_the_server_for_ever, &[Lost])
            .over(Exclusive)
            .free_within(WAIT_TIMEOUT_OF_ONE_SECOND)
            .since("the silence (wait_timeout 1 s)")
            .pool(&[Replaced]),
        // As with any lock.
        scenario("permit_client_killed_while_holding", client::client_killed_while_holding, &[ProcessKilled])
            .over(Permit)
            .free_within(SOON)
            .since("the kill"),
        scenario("exclusive_client_killed_while_holding", client::client_killed_while_holding, &[ProcessKilled])
            .over(Exclusive)
            .free_within(SOON)
            .since("the kill"),
        scenario("permit_connection_killed_during_the_work", killed::connection_killed_during_the_work, &[Lost])
            .over(Permit)
            .free_within(SOON)
            .since("the kill")
            .pool(&[Replaced]),
        scenario("exclusive_connection_killed_during_the_work", killed::connection_killed_during_the_work, &[Lost])
            .over(Exclusive)
            .free_within(SOON)
            .since("the kill")
            .pool(&[Replaced]),
        scenario("permit_query_killed_during_a_statement", killed::query_killed_during_a_statement, &[WorkFailed])
            .over(Permit)
            .pool(&[Kept]),
        scenario("exclusive_query_killed_during_a_statement", killed::query_killed_during_a_statement, &[WorkFailed])
            .over(Exclusive)
            .pool(&[Kept]),
        scenario("permit_network_silent_while_holding_then_resumed", network::silent_while_holding_then_resumed, &[Ok])
            .over(Permit)
            .pool(&[Kept]),
        scenario("permit_network_silent_while_holding_then_closed", network::silent_while_holding_then_closed, &[Lost])
            .over(Permit)
            .free_within(SOON)
            .since("the close")
            .pool(&[Replaced]),
        scenario(
            "exclusive_network_silent_while_holding_then_closed",
            network::silent_while_holding_then_closed,
            &[Lost],
        )
        .over(Exclusive)
        .free_within(SOON)
        .since("the close")
        .pool(&[Replaced]),
        scenario("permit_network_reset_while_holding", network::reset_while_holding, &[Lost])
            .over(Permit)
            .free_within(SOON)
            .since("the reset")
            .pool(&[Replaced]),
        scenario("exclusive_network_reset_while_holding", network::reset_while_holding, &[Lost])
            .over(Exclusive)
            .free_within(SOON)
            .since("the reset")
            .pool(&[Replaced]),
        scenario("async_permit_connection_killed_in_the_closure", nonblocking::connection_killed, &[Lost])
            .over(Permit)
            .free_within(SOON)
            .since("the kill")
            .pool(&[Replaced]),
        scenario("async_permit_dropped_in_the_closure", nonblocking::dropped_in_the_closure, &[Dropped])
            .over(Permit)
            .free_within(SOON)
            .since("the drop")
            .pool(&[Replaced]),
        scenario("async_exclusive_dropped_in_the_closure", nonblocking::dropped_in_the_closure, &[Dropped])
            .over(Exclusive)
            .free_within(SOON)
            .since("the drop")
            .pool(&[Replaced]),
        scenario("async_permit_first_in_line_dropped", nonblocking::dropped_while_waiting, &[Dropped])
            .over(Permit)
            .free_within(SOON)
            .since("the holder's release")
            .pool(&[Replaced]),
        scenario("async_exclusive_first_in_line_dropped", nonblocking::dropped_while_waiting, &[Dropped])
            .over(Exclusive)
            .free_within(SOON)
            .since("the holder's release")
            .pool(&[Replaced]),
        // The one in line has its turn.
        scenario("permit_connection_killed_with_a_line", holder_killed, &[Lost, Ok])
            .over(Permit)
            .free_within(SOON)
            .since("the kill (for the next in line)")
            .pool(&[Replaced]),
        scenario("exclusive_connection_killed_with_a_line", holder_killed, &[Lost, Ok])
            .over(Exclusive)
            .free_within(SOON)
            .since("the kill (for the next in line)")
            .pool(&[Replaced]),
        scenario("permit_client_killed_with_a_line", holders_client_killed, &[ProcessKilled, Ok])
            .over(Permit)
            .free_within(SOON)
            .since("the kill (for the next in line)"),
        scenario("exclusive_client_killed_with_a_line", holders_client_killed, &[ProcessKilled, Ok])
            .over(Exclusive)
            .free_within(SOON)
            .since("the kill (for the next in line)"),
        // So has the one behind the first in line.
        scenario("permit_first_in_line_connection_killed", head_killed, &[Broken, Ok])
            .over(Permit)
            .free_within(SOON)
            .since("the kill (for the one behind)")
            .pool(&[Replaced]),
        scenario("exclusive_first_in_line_connection_killed", head_killed, &[Broken, Ok])
            .over(Exclusive)
            .free_within(SOON)
            .since("the kill (for the one behind)")
            .pool(&[Replaced]),
        scenario("permit_first_in_line_query_killed", heads_query_killed, &[Interrupted, Ok])
            .over(Permit)
            .free_within(SOON)
            .since("the kill (for the one behind)")
            .pool(&[Kept]),
        scenario("exclusive_first_in_line_query_killed", heads_query_killed, &[Interrupted, Ok])
            .over(Exclusive)
            .free_within(SOON)
            .since("the kill (for the one behind)")
            .pool(&[Kept]),
        // It polls, so the server notices at the end of a poll.
        scenario("permit_first_in_line_client_killed", heads_client_killed, &[ProcessKilled, Ok])
            .over(Permit)
            .free_within(SOON)
            .since("the kill (for the one behind)"),
        scenario("exclusive_first_in_line_client_killed", heads_client_killed, &[ProcessKilled, Ok])
            .over(Exclusive)
            .free_within(A_LOOK + SOON)
            .since("the kill (for the one behind)"),
        scenario("permit_first_in_line_network_reset", head_reset, &[Broken, Ok])
            .over(Permit)
            .free_within(SOON)
            .since("the reset (for the one behind)")
            .pool(&[Replaced]),
        scenario("exclusive_first_in_line_network_reset", head_reset, &[Broken, Ok])
            .over(Exclusive)
            .free_within(A_LOOK + SOON)
            .since("the reset (for the one behind)")
            .pool(&[Replaced]),
    ]
}

/// A section behind another one, whose thread returns when its closure began.
struct Behind<'scope> {
    id: u64,
    thread: ScopedJoinHandle<'scope, Option<Instant>>,
}

impl<'scope> Behind<'scope> {
    fn start<'env>(scope: &'scope Scope<'scope, 'env>, stage: &'env Stage) -> Self {
        let mut conn = stage.connect();
        let id = id(&mut conn);
        let lock = stage.kind.lock_behind(&stage.name).timeout(PATIENCE);
        let thread = scope.spawn(move || {
            let mut began = None;
            stage.section(&lock, &mut conn, |_| {
                began = Some(Instant::now());
                Result::Ok(())
            });
            began
        });
        Self { id, thread }
    }

    /// Notes how long after `since` it had its turn.
    fn has_its_turn(self, stage: &Stage, since: Instant) {
        let began = joined(self.thread);
        stage.check(began.is_some(), "the one behind was not served");
        began.into_iter().for_each(|began| stage.note_free(began - since));
    }
}

/// Until it waits for the holder: first in line for a permit, or for the turnstile.
fn until_in_line(stage: &Stage, behind: &Behind<'_>) {
    match stage.kind {
        Permit => stage.until_waiting(behind.id),
        _ => stage.until_in_state(behind.id, "User lock"),
    }
}

fn holder_killed(stage: &Stage) {
    let pool = stage.pool();
    let (mut conn, own) = stage.checkout(&pool);
    thread::scope(|scope| {
        let mut next = None;
        stage.section(&stage.lock(), &mut conn, |_| {
            let behind = Behind::start(scope, stage);
            until_in_line(stage, &behind);
            next = Some((behind, Instant::now()));
            stage.kill(own);
            Result::Ok(())
        });
        let (behind, killed) = next.expect("the closure has run");
        behind.has_its_turn(stage, killed);
    });
    stage.free_and_serves(conn, &pool);
}

fn holders_client_killed(stage: &Stage) {
    for _ in 0..5 {
        let (mut client, _) = client::start(stage);
        assert_eq!(client.hear(), "holding");
        thread::scope(|scope| {
            let behind = Behind::start(scope, stage);
            until_in_line(stage, &behind);
            let killed = Instant::now();
            client::kill(client, stage);
            behind.has_its_turn(stage, killed);
        });
        stage.free_now();
    }
}

/// The one behind needs the only permit, or shares the lock with whom the first in line waited for.
fn serve(stage: &Stage, behind: Behind<'_>, rival: Rival, struck: Instant) {
    match stage.kind {
        Permit => {
            stage.end(rival);
            behind.has_its_turn(stage, struck);
        }
        _ => {
            behind.has_its_turn(stage, struck);
            stage.end(rival);
        }
    }
}

/// Somebody else holds the lock, and the first in line is struck.
fn head_struck(stage: &Stage, pool: &Connections, strike: impl FnOnce(u64, &dyn Fn() -> bool)) {
    head_of_a_line(stage, pool, PATIENCE, |_| (), strike);
}

fn head_of_a_line(
    stage: &Stage,
    pool: &Connections,
    timeout: Duration,
    prepare: impl FnOnce(&mut Checkout),
    strike: impl FnOnce(u64, &dyn Fn() -> bool),
) {
    let rival = stage.rival();
    let (mut conn, own) = stage.checkout(pool);
    prepare(&mut conn);
    let lock = stage.lock().timeout(timeout);
    thread::scope(|scope| {
        let head = scope.spawn(|| stage.section(&lock, &mut conn, |_| panic!("the lock was not to be had")));
        stage.until_waiting(own);
        let behind = Behind::start(scope, stage);
        stage.until_in_state(behind.id, "User lock");
        let struck = Instant::now();
        strike(own, &|| head.is_finished());
        joined(head);
        serve(stage, behind, rival, struck);
    });
    stage.free_and_serves(conn, pool);
}

fn head_killed(stage: &Stage) {
    head_struck(stage, &stage.pool(), |own, _| stage.kill(own));
}

/// Between two polls, a kill does nothing.
fn heads_query_killed(stage: &Stage) {
    head_struck(stage, &stage.pool(), |own, is_over| {
        wait_until("the wait to be interrupted", || {
            stage.kill_query(own);
            is_over()
        });
    });
}

fn head_reset(stage: &Stage) {
    let (network, pool) = network::network(stage);
    head_struck(stage, &pool, |_, _| network.reset());
}

fn head_silent(stage: &Stage) {
    let (network, pool) = network::network(stage);
    let shorten = |conn: &mut Checkout| {
        sql_query("SET SESSION wait_timeout = 1").execute(conn).expect("SET");
    };
    head_of_a_line(stage, &pool, TIMEOUT, shorten, |_, _| network.close_the_clients_end_only());
}

fn heads_client_killed(stage: &Stage) {
    for _ in 0..3 {
        let rival = stage.rival();
        let (client, own) = client::start(stage);
        stage.until_waiting(own);
        thread::scope(|scope| {
            let behind = Behind::start(scope, stage);
            stage.until_in_state(behind.id, "User lock");
            let killed = Instant::now();
            client::kill(client, stage);
            serve(stage, behind, rival, killed);
        });
        stage.free_now();
    }
}

fn server_killed_with_a_line(stage: &Stage) {
    server::killed(stage, |mut conn, kill| {
        thread::scope(|scope| {
            let mut line = None;
            stage.section(&stage.lock(), &mut conn, |_| {
                let behind = Behind::start(scope, stage);
                until_in_line(stage, &behind);
                line = Some(behind);
                kill();
                Result::Ok(())
            });
            stage.check(joined(line.expect("the closure has run").thread).is_none(), "somebody was served");
        });
        conn
    });
}
