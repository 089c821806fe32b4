//! Pools that make it harder: of one connection, without a test at the checkout, or with connections that stay open when removed.

use std::{
    sync::{Arc, Mutex},
    thread,
};

use diesel::{
    MysqlConnection, RunQueryDsl,
    r2d2::{self, CustomizeConnection, Pool},
    sql_query,
};

use testkit::striking::Striking;

use crate::{
    scenario::{Outcome::*, SOON, Scenario, Served::*, scenario},
    sql::PATIENCE,
    stage::{Connections, Manager, Stage, joined},
};

pub fn scenarios() -> Vec<Scenario> {
    vec![
        // The next caller waits for the very connection that dies, and gets another one.
        scenario("pool_of_one_with_a_caller_waiting", pool_of_one_with_a_caller_waiting, &[Lost])
            .free_within(SOON)
            .pool(&[Replaced]),
        // Nothing but our mark tells this pool that a connection is dead.
        scenario("pool_without_a_test_killed_during_the_work", untested_killed_during_the_work, &[Lost])
            .free_within(SOON)
            .pool(&[Replaced]),
        scenario("pool_without_a_test_killed_while_waiting", untested_killed_while_waiting, &[Broken])
            .free_within(SOON)
            .since("the holder's release")
            .pool(&[Replaced]),
        scenario("pool_without_a_test_killed_in_failing_work", untested_killed_in_failing_work, &[WorkFailed])
            .free_within(SOON)
            .pool(&[Replaced]),
        // The connection lives on, so the session has to be ended from within.
        scenario("pool_that_keeps_removed_connections", pool_that_keeps_removed_connections, &[Lost])
            .free_within(SOON)
            .pool(&[Replaced]),
    ]
}

fn pool_of_one_with_a_caller_waiting(stage: &Stage) {
    let pool = stage.pool();
    let (mut conn, own) = stage.checkout(&pool);
    thread::scope(|scope| {
        let next = scope.spawn(|| stage.serves(&pool));
        stage.section(&stage.lock(), &mut conn, |_| {
            stage.kill(own);
            stage.until_gone(own);
            Result::Ok(())
        });
        stage.free_now();
        drop(conn);
        joined(next);
    });
}

fn untested(stage: &Stage) -> Connections {
    let manager = Manager::new(stage.server.url());
    let pool = Pool::builder().max_size(1).connection_timeout(PATIENCE).test_on_check_out(false).build(manager);
    pool.expect("a pool")
}

fn untested_killed_during_the_work(stage: &Stage) {
    let pool = untested(stage);
    let (mut conn, own) = stage.checkout(&pool);
    stage.section(&stage.lock(), &mut conn, |_| {
        stage.kill(own);
        stage.until_gone(own);
        Result::Ok(())
    });
    stage.free_and_serves(conn, &pool);
}

fn untested_killed_while_waiting(stage: &Stage) {
    let (pool, rival) = (untested(stage), stage.rival());
    let (mut conn, _) = stage.checkout(&pool);
    stage.waiting_section(&mut conn, |own| stage.kill(own));
    drop(conn);
    stage.free_after(rival);
    stage.serves(&pool);
}

fn untested_killed_in_failing_work(stage: &Stage) {
    let pool = untested(stage);
    let (mut conn, own) = stage.checkout(&pool);
    stage.section(&stage.lock(), &mut conn, |conn| {
        stage.kill(own);
        stage.until_gone(own);
        sql_query("SELECT 1").execute(conn)?;
        Result::Ok(())
    });
    stage.free_and_serves(conn, &pool);
}

/// Keeps every connection that the pool removes.
#[derive(Clone, Default)]
struct Hoard(Arc<Mutex<Vec<MysqlConnection>>>);

impl CustomizeConnection<MysqlConnection, r2d2::Error> for Hoard {
    fn on_release(&self, conn: MysqlConnection) {
        self.0.lock().unwrap().push(conn);
    }
}

impl std::fmt::Debug for Hoard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hoard")
    }
}

fn pool_that_keeps_removed_connections(stage: &Stage) {
    let (hoard, proxy) = (Hoard::default(), Striking::to(stage.server.tcp_url()));
    let pool = Pool::builder().max_size(1).connection_customizer(Box::new(hoard.clone()));
    let pool = pool.build(Manager::new(proxy.url())).expect("a pool");
    let (mut conn, own) = stage.checkout(&pool);
    stage.section(&stage.lock(), &mut conn, |_| {
        // No release succeeds.
        proxy.strike(u32::MAX, "RELEASE_LOCK(");
        Result::Ok(())
    });
    proxy.strike(0, "");
    stage.free_and_serves(conn, &pool);
    stage.check(hoard.0.lock().unwrap().len() == 1, "the connection was not kept");
    stage.until_gone(own);
}
