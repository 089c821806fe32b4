//! Time limits: of the session, of a statement, of the acquire itself.

use std::{
    thread,
    time::{Duration, Instant},
};

use diesel::connection::SimpleConnection;
use test_server::Product;

use crate::{
    race::Race,
    scenario::{AT_ONCE, Fate, Outcome::*, SOON, Scenario, Served::*, scenario},
    server,
    sql::{PATIENCE, get_lock, release_lock},
    stage::{Stage, joined},
    witness::Failures,
};

pub fn scenarios() -> Vec<Scenario> {
    let mysql = Product::wanted() == Product::MySql;
    vec![
        scenario("wait_timeout_passes_during_the_work", wait_timeout_passes, &[Lost])
            .free_within(SOON)
            .pool(&[Replaced]),
        // MySQL's limit is not one of waits.
        scenario(
            "statement_time_limit_shorter_than_the_wait",
            statement_time_limit,
            if mysql { &[Timeout] } else { &[Interrupted] },
        )
        .since("the holder's release")
        .pool(&[Kept]),
        // On MySQL it fails, and yet may hold the lock. Then this is released, or its session ended.
        scenario("time_limit_at_the_moment_of_the_grant", time_limit_at_the_grant, &[Ok, Timeout])
            .perhaps(if mysql { &[Broken] } else { &[] })
            .free_within(if mysql { SOON } else { AT_ONCE })
            .pool(if mysql { &[Kept, Replaced] } else { &[Kept] }),
        // Both are due when the server continues. The limit mostly comes first.
        scenario("time_limit_and_grant_in_one_moment", time_limit_and_grant, &[Timeout])
            .perhaps(if mysql { &[Ok, Broken] } else { &[Ok] })
            .free_within(if mysql { SOON } else { AT_ONCE })
            .pool(if mysql { &[Kept, Replaced] } else { &[Kept] })
            .server(Fate::Stopped),
    ]
}

fn wait_timeout_passes(stage: &Stage) {
    let pool = stage.pool();
    let (mut conn, own) = stage.checkout(&pool);
    conn.batch_execute("SET SESSION wait_timeout = 1").expect("SET");
    stage.section(&stage.lock(), &mut conn, |_| {
        stage.until_gone(own);
        Result::Ok(())
    });
    stage.free_and_serves(conn, &pool);
}

fn statement_time_limit(stage: &Stage) {
    let (pool, rival) = (stage.pool(), stage.rival());
    let (mut conn, _) = stage.checkout(&pool);
    let limit = if stage.is_mysql() { "SET max_execution_time = 100" } else { "SET max_statement_time = 0.1" };
    conn.batch_execute(limit).expect("SET");
    let lock = stage.lock().timeout(Duration::from_secs(1));
    stage.section(&lock, &mut conn, |_| panic!("the lock was not to be had"));
    stage.free_after(rival);
    drop(conn);
    stage.serves(&pool);
}

/// The holder releases the lock as the waiter gives up, ever closer to the same instant.
fn time_limit_at_the_grant(stage: &Stage) {
    const TIMEOUT: Duration = Duration::from_micros(20_500);

    let pool = stage.pool();
    let mut conn = stage.checkout(&pool).0;
    let mut rival = stage.rival();
    let failed = Failures::default();
    failed.watch(&mut conn, stage);
    let lock = stage.lock().timeout(TIMEOUT);
    let mut race = Race::after(TIMEOUT);
    // MariaDB's own timeout is exact, and an answer, not an error.
    let (begin, can_be) = (Instant::now(), stage.is_mysql());
    while stage.tries(begin, failed.all(), can_be) {
        let outcome = thread::scope(|scope| {
            let section = scope.spawn(|| {
                race.start();
                stage.section(&lock, &mut conn, |_| Result::Ok(()))
            });
            race.start_later();
            assert!(release_lock(&mut rival.conn, &stage.name).expect("RELEASE_LOCK"));
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
            conn = stage.checkout(&pool).0;
            failed.watch(&mut conn, stage);
        }
        assert!(get_lock(&mut rival.conn, &stage.name, Duration::ZERO).expect("GET_LOCK"));
    }
    drop(rival);
    stage.until_free();
    stage.check(failed.all() > 0 || !can_be, "no time limit has struck");
    stage.note(format!("{} acquires failed with an error, {} of them held the lock", failed.all(), failed.held()));
    stage.free_and_serves(conn, &pool);
}

/// While the server is stopped, the holder releases the lock, and the waiter's time passes.
fn time_limit_and_grant(stage: &Stage) {
    const ROUNDS: u32 = 20;
    const TIMEOUT: Duration = Duration::from_micros(40_500);

    let pool = stage.pool();
    let (mut conn, mut own) = stage.checkout(&pool);
    let mut rival = stage.rival();
    let failed = Failures::default();
    failed.watch(&mut conn, stage);
    let lock = stage.lock().timeout(TIMEOUT);
    let mut rounds = 0;
    let end = Instant::now() + PATIENCE;
    while rounds < ROUNDS {
        assert!(Instant::now() < end, "{rounds} rounds in {PATIENCE:?}");
        let outcome = thread::scope(|scope| {
            let start = Instant::now();
            let section = scope.spawn(|| stage.section(&lock, &mut conn, |_| Result::Ok(())));
            while !stage.is_waiting(own) {
                if section.is_finished() {
                    // The wait was over before anybody could see it.
                    joined(section);
                    return None;
                }
            }
            server::stop(&stage.server);
            let release = scope.spawn(|| release_lock(&mut rival.conn, &stage.name));
            thread::sleep((TIMEOUT + Duration::from_millis(5)).saturating_sub(start.elapsed()));
            server::go_on(&stage.server);
            assert!(joined(release).expect("RELEASE_LOCK"));
            Some(joined(section))
        });
        let Some(outcome) = outcome else { continue };
        rounds += 1;
        stage.free_now();
        if outcome == Broken {
            drop(conn);
            (conn, own) = stage.checkout(&pool);
            failed.watch(&mut conn, stage);
        }
        assert!(get_lock(&mut rival.conn, &stage.name, Duration::ZERO).expect("GET_LOCK"));
    }
    drop(rival);
    stage.until_free();
    stage.note(format!("{} acquires failed with an error, {} of them held the lock", failed.all(), failed.held()));
    stage.free_and_serves(conn, &pool);
}
