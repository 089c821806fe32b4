//! `KILL CONNECTION` and `KILL QUERY`, at every point of a section.

use std::{
    sync::{
        Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use diesel::{MysqlConnection, prelude::*, sql_query};

use crate::{
    race::Race,
    scenario::{Outcome::*, SOON, Scenario, Served::*, scenario},
    sql::*,
    stage::{Stage, Work, joined},
    witness::Failures,
};

pub fn scenarios() -> Vec<Scenario> {
    vec![
        // The client hears of the kill before the session has ended: it may be granted the lock first.
        scenario("connection_killed_while_waiting", connection_killed_while_waiting, &[Broken])
            .free_within(SOON)
            .since("the holder's release")
            .pool(&[Replaced]),
        scenario("connection_killed_during_the_work", connection_killed_during_the_work, &[Lost])
            .free_within(SOON)
            .since("the kill")
            .pool(&[Replaced]),
        scenario("connection_killed_during_a_statement", connection_killed_during_a_statement, &[WorkFailed])
            .free_within(SOON)
            .pool(&[Replaced]),
        // A release that the server confirms before it notices the kill is a release.
        scenario("connection_killed_between_work_and_release", connection_killed_before_the_release, &[Lost])
            .perhaps(&[Ok])
            .free_within(SOON)
            .pool(&[Replaced]),
        scenario("query_killed_while_waiting", query_killed_while_waiting, &[Interrupted])
            .since("the holder's release")
            .pool(&[Kept]),
        scenario("query_killed_during_a_statement", query_killed_during_a_statement, &[WorkFailed]).pool(&[Kept]),
        // An acquire that was killed may hold the lock: this is released, or its session ended (Broken). A release that
        // has succeeded, and is killed before it says so, leaves nothing to confirm: Lost.
        scenario("query_killed_at_the_moment_of_the_grant", query_killed_at_the_grant, &[Ok, Interrupted])
            .perhaps(&[Lost, Broken])
            .free_within(SOON)
            .pool(&[Kept, Replaced]),
        scenario("query_killed_at_the_release", query_killed_at_the_release, &[Ok])
            .perhaps(&[Lost])
            .free_within(SOON)
            .pool(&[Kept, Replaced]),
    ]
}

fn connection_killed_while_waiting(stage: &Stage) {
    let (pool, rival) = (stage.pool(), stage.rival());
    let (mut conn, _) = stage.checkout(&pool);
    stage.waiting_section(&mut conn, |own| stage.kill(own));
    drop(conn);
    stage.free_after(rival);
    stage.serves(&pool);
}

pub fn connection_killed_during_the_work(stage: &Stage) {
    let pool = stage.pool();
    let (mut conn, own) = stage.checkout(&pool);
    stage.section(&stage.lock(), &mut conn, |_| {
        let killed = Instant::now();
        stage.kill(own);
        // While the closure continues, unaware of it.
        stage.free_since(killed);
        stage.until_gone(own);
        Result::Ok(())
    });
    stage.free_and_serves(conn, &pool);
}

/// Waits on the server until it is killed.
fn long_statement(conn: &mut MysqlConnection) -> Work {
    sql_query("SELECT COUNT(*) FROM (SELECT 1 AS one) AS t WHERE SLEEP(600) = one").execute(conn)?;
    Result::Ok(())
}

fn during_a_statement(stage: &Stage, kill: impl FnOnce(u64)) {
    let pool = stage.pool();
    let (mut conn, own) = stage.checkout(&pool);
    thread::scope(|scope| {
        let section = scope.spawn(|| stage.section(&stage.lock(), &mut conn, |conn| long_statement(conn)));
        stage.until_in_state(own, "User sleep");
        kill(own);
        joined(section);
    });
    stage.free_and_serves(conn, &pool);
}

fn connection_killed_during_a_statement(stage: &Stage) {
    during_a_statement(stage, |own| stage.kill(own));
}

pub fn query_killed_during_a_statement(stage: &Stage) {
    during_a_statement(stage, |own| stage.kill_query(own));
}

/// The server says that it kills; how far it is when the release comes differs from round to round.
pub fn connection_killed_before_the_release(stage: &Stage) {
    for _ in 0..40 {
        let pool = stage.pool();
        let (mut conn, own) = stage.checkout(&pool);
        stage.section(&stage.lock(), &mut conn, |_| {
            stage.kill(own);
            Result::Ok(())
        });
        stage.free_and_serves(conn, &pool);
    }
}

fn query_killed_while_waiting(stage: &Stage) {
    let (pool, rival) = (stage.pool(), stage.rival());
    let (mut conn, _) = stage.checkout(&pool);
    stage.waiting_section(&mut conn, |own| stage.kill_query(own));
    stage.free_after(rival);
    drop(conn);
    stage.serves(&pool);
}

fn query_killed_at_the_grant(stage: &Stage) {
    const ROUNDS: u32 = 200;
    let pool = stage.pool();
    let (mut conn, mut own) = stage.checkout(&pool);
    let mut rival = stage.rival();
    let failed = Failures::default();
    failed.watch(&mut conn, stage);
    // The kill takes longer to get there.
    let mut race = Race::after(Duration::from_micros(200));
    for _ in 0..ROUNDS {
        let outcome = thread::scope(|scope| {
            let section = scope.spawn(|| stage.section(&stage.lock(), &mut conn, |_| Result::Ok(())));
            stage.until_waiting(own);
            let kill = scope.spawn(|| {
                race.start();
                stage.kill_query(own);
            });
            race.start_later();
            assert!(release_lock(&mut rival.conn, &stage.name).expect("RELEASE_LOCK"));
            joined(kill);
            joined(section)
        });
        if outcome == Ok {
            race.was_too_early()
        } else {
            race.was_too_late()
        }
        stage.free_now();
        if outcome == Broken {
            drop(conn);
            (conn, own) = stage.checkout(&pool);
            failed.watch(&mut conn, stage);
        }
        assert!(get_lock(&mut rival.conn, &stage.name, Duration::ZERO).expect("GET_LOCK"));
    }
    stage.note(format!("{} acquires failed with an error, {} of them held the lock", failed.all(), failed.held()));
    drop(rival);
    stage.until_free();
    stage.free_and_serves(conn, &pool);
}

/// It rains kills from the end of the work to the end of the section, until enough have struck.
fn query_killed_at_the_release(stage: &Stage) {
    const ENOUGH: u32 = 50;
    let pool = stage.pool();
    let (mut conn, mut own) = stage.checkout(&pool);
    let struck = Failures::default();
    struck.watch(&mut conn, stage);
    let (begin, can_be) = (Instant::now(), stage.short_statements_are_struck());
    while struck.all() < ENOUGH && stage.tries(begin, struck.all(), can_be) {
        let (start, dry) = (Barrier::new(2), AtomicBool::new(false));
        let outcome = thread::scope(|scope| {
            scope.spawn(|| {
                start.wait();
                while !dry.load(Ordering::Relaxed) {
                    let _ = stage.try_kill_query(own);
                }
            });
            let outcome = stage.section(&stage.lock(), &mut conn, |_| {
                start.wait();
                Result::Ok(())
            });
            dry.store(true, Ordering::Relaxed);
            outcome
        });
        stage.free_now();
        if outcome != Ok {
            drop(conn);
            (conn, own) = stage.checkout(&pool);
            struck.watch(&mut conn, stage);
        }
    }
    stage.check(struck.all() > 0 || !can_be, "no release was struck");
    stage.note(format!("{} releases failed, {} of them with the lock still held", struck.all(), struck.held()));
    stage.free_and_serves(conn, &pool);
}
