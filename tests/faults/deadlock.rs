//! Sessions that wait for each other in a circle.

use std::{sync::Barrier, thread};

use diesel::{connection::SimpleConnection, prelude::*, sql_query};
use diesel_named_lock::NamedLock;

use crate::{
    scenario::{Outcome::*, Scenario, Served::*, scenario},
    sql::{PATIENCE, get_lock, id},
    stage::{Checkout, Stage, joined},
};

pub fn scenarios() -> Vec<Scenario> {
    vec![
        // The server sees the circle and chooses one of them; the other one gets both locks.
        scenario("deadlock_between_named_locks", deadlock_between_named_locks, &[Ok, Deadlock]).pool(&[Kept]),
        // Of this circle the server sees two halves, neither of them a circle: only a timeout ends it. The section's is
        // `innodb_lock_wait_timeout`, so its work fails; the other one waits for the named lock, and gets it.
        scenario("deadlock_between_a_named_lock_and_a_row", deadlock_with_a_row, &[WorkFailed])
            .since("the other's release")
            .pool(&[Kept]),
    ]
}

fn deadlock_between_named_locks(stage: &Stage) {
    let pools = [stage.pool(), stage.pool()];
    let [(mut one, _), (mut two, _)] = [stage.checkout(&pools[0]), stage.checkout(&pools[1])];
    let second = NamedLock::new(format!("{}_second", stage.name)).expect("a valid name").timeout(PATIENCE);
    let first = stage.lock();
    let both_hold = Barrier::new(2);
    let cross = |conn: &mut Checkout, outer: &NamedLock, inner: &NamedLock| {
        stage.section(outer, conn, |conn| {
            both_hold.wait();
            inner.run(conn, |_| Result::Ok(()))
        });
    };
    thread::scope(|scope| {
        let one = scope.spawn(|| cross(&mut one, &first, &second));
        cross(&mut two, &second, &first);
        joined(one);
    });
    stage.free_now();
    for (conn, pool) in [one, two].into_iter().zip(&pools) {
        drop(conn);
        stage.serves(pool);
    }
}

fn deadlock_with_a_row(stage: &Stage) {
    let pool = stage.pool();
    let (mut conn, _) = stage.checkout(&pool);
    conn.batch_execute("SET SESSION innodb_lock_wait_timeout = 1").expect("SET");
    let update = format!("UPDATE {} SET a = a + 1", stage.table());
    let mut other = stage.connect();
    let others = id(&mut other);
    other.batch_execute("BEGIN").expect("BEGIN");
    sql_query(&update).execute(&mut other).expect("an UPDATE");
    thread::scope(|scope| {
        let mut queue = None;
        stage.section(&stage.lock(), &mut conn, |conn| {
            queue = Some(scope.spawn(|| get_lock(&mut other, &stage.name, PATIENCE)));
            stage.until_waiting(others);
            sql_query(&update).execute(conn)?;
            Result::Ok(())
        });
        let got = queue.map(joined);
        stage.check(matches!(got, Some(Result::Ok(true))), "the other session did not get the named lock");
    });
    stage.check(stage.holder() == Some(others), "the section holds the lock still");
    other.batch_execute("COMMIT").expect("COMMIT");
    drop(other);
    stage.until_free();
    stage.free_and_serves(conn, &pool);
}
