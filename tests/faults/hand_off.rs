//! Between two sections of one process: the first one has just run its work, the next one is in line behind it.

use std::{
    sync::{
        Barrier,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use diesel_named_lock::pool::NamedLockPool;

use testkit::proxy::Proxy;

use crate::{
    scenario::{Outcome::*, SOON, Scenario, Served::*, scenario},
    sql::{PATIENCE, id, wait_until},
    stage::{Checkout, Connections, Locks, Stage, joined},
    witness::Failures,
};

pub fn scenarios() -> Vec<Scenario> {
    vec![
        // One of them is `Lost`. If the server says that the lock is held before it notices the kill, that is the next one.
        scenario("connection_killed_at_the_hand_off", connection_killed, &[Lost, Ok])
            .free_within(SOON)
            .pool(&[Replaced]),
        // Struck several times in a row, the first one can't be shown to be alone (Lost), and the next one starts afresh.
        scenario("query_killed_at_the_hand_off", query_killed, &[Ok])
            .perhaps(&[Lost, Interrupted])
            .free_within(SOON)
            .pool(&[Kept, Replaced]),
        // Nothing is handed on before the server has answered.
        scenario("network_silent_at_the_hand_off_then_resumed", silent_then_resumed, &[Ok]).pool(&[Kept]),
        scenario("network_silent_at_the_hand_off_then_closed", silent_then_closed, &[Lost, Ok])
            .free_within(SOON)
            .pool(&[Replaced]),
        scenario("network_reset_at_the_hand_off", reset, &[Lost, Ok]).free_within(SOON).pool(&[Replaced]),
        // Held for somebody who does not come.
        scenario("next_one_gives_up_at_the_hand_off", next_one_gives_up, &[Ok, Timeout]).pool(&[Kept]),
    ]
}

/// Never out of hand-offs.
fn locks(pool: &Connections) -> Locks {
    NamedLockPool::builder(pool.clone()).max_hand_offs(u32::MAX).max_hand_off_time(PATIENCE).build()
}

/// Runs two sections, the second one in line behind the first for so long. `at_end` is the end of the first one's work,
/// `in_next` the second one's.
fn two_in_line(
    stage: &Stage,
    locks: &Locks,
    timeout: Duration,
    at_end: impl FnOnce(u64) + Send,
    in_next: impl FnOnce(&mut Checkout),
) {
    let (entered, has_entered) = mpsc::channel();
    thread::scope(|scope| {
        let first = scope.spawn(move || {
            stage.section_in_turn(&stage.lock(), locks, |conn| {
                let own = id(conn);
                entered.send(()).expect("somebody waits for it");
                wait_until("the next one to be in line", || waiting(stage, locks) == 1);
                at_end(own);
                Result::Ok(())
            })
        });
        has_entered.recv_timeout(PATIENCE).expect("the first one gets in");
        stage.section_in_turn(&stage.lock().timeout(timeout), locks, |conn| {
            in_next(conn);
            Result::Ok(())
        });
        joined(first);
    });
}

fn waiting(stage: &Stage, locks: &Locks) -> usize {
    locks.waiting(&stage.lock().names()[0])
}

/// How far the server is with the kill when it is asked differs from round to round.
fn connection_killed(stage: &Stage) {
    for _ in 0..20 {
        let pool = stage.pool();
        stage.checkout(&pool);
        two_in_line(stage, &locks(&pool), PATIENCE, |own| stage.kill(own), |_| ());
        stage.free_now();
        stage.serves(&pool);
    }
}

/// It rains kills from the end of the first one's work to the beginning of the next one's, until enough have struck.
fn query_killed(stage: &Stage) {
    const ENOUGH: u32 = 50;
    let pool = stage.pool();
    let struck = Failures::default();
    let (begin, can_be) = (Instant::now(), stage.short_statements_are_struck());
    while struck.all() < ENOUGH && stage.tries(begin, struck.all(), can_be) {
        let (mut conn, own) = stage.checkout(&pool);
        struck.watch(&mut conn, stage);
        drop(conn);
        let (start, dry) = (Barrier::new(2), AtomicBool::new(false));
        let stop = || dry.store(true, Ordering::Relaxed);
        thread::scope(|scope| {
            scope.spawn(|| {
                start.wait();
                while !dry.load(Ordering::Relaxed) {
                    let _ = stage.try_kill_query(own);
                }
            });
            let begin = |_| {
                start.wait();
            };
            two_in_line(stage, &locks(&pool), PATIENCE, begin, |_| stop());
            stop();
        });
        stage.free_now();
    }
    stage.check(struck.all() > 0 || !can_be, "no question was struck");
    stage.note(format!("{} questions failed, {} of them with the lock still held", struck.all(), struck.held()));
    stage.serves(&pool);
}

/// The network is silent from the end of the first one's work on, until `meanwhile` has done something about it.
fn silent(stage: &Stage, timeout: Duration, meanwhile: impl FnOnce(&Proxy, &Locks) + Send) {
    let network = Proxy::to(&stage.server);
    let pool = stage.pool_at(network.url());
    let (_, own) = stage.checkout(&pool);
    let locks = locks(&pool);
    thread::scope(|scope| {
        scope.spawn(|| {
            network.until_withheld();
            stage.check(stage.holder() == Some(own), "the session holds the lock no more");
            meanwhile(&network, &locks);
        });
        two_in_line(stage, &locks, timeout, |_| network.silence(), |_| ());
    });
    stage.free_now();
    stage.serves(&pool);
}

fn silent_then_resumed(stage: &Stage) {
    silent(stage, PATIENCE, |network, locks| {
        stage.check(waiting(stage, locks) == 1, "the next one did not wait for the answer");
        network.resume();
    });
}

fn silent_then_closed(stage: &Stage) {
    silent(stage, PATIENCE, |network, _| network.close());
}

fn next_one_gives_up(stage: &Stage) {
    silent(stage, Duration::from_millis(300), |network, locks| {
        wait_until("the next one to give up", || waiting(stage, locks) == 0);
        network.resume();
    });
}

fn reset(stage: &Stage) {
    let network = Proxy::to(&stage.server);
    let pool = stage.pool_at(network.url());
    stage.checkout(&pool);
    two_in_line(stage, &locks(&pool), PATIENCE, |_| network.reset(), |_| ());
    stage.free_now();
    stage.serves(&pool);
}
