//! Many threads and one lock: sections on connections that each thread checks out, beside those of a `NamedLockPool`.
//!
//! Unpinned. The cases take turns, so that what else the machine does strikes them alike; what counts are the ratios.

use std::{
    thread,
    time::{Duration, Instant},
};

use diesel::{
    IntoSql, MysqlConnection, RunQueryDsl,
    r2d2::{ConnectionManager, Pool, PooledConnection},
    select,
    sql_types::Integer,
};
use diesel_named_lock::{NamedLockError, NamedLockExt, NamedLockPool};
use test_server::Server;

type Manager = ConnectionManager<MysqlConnection>;
const PATIENCE: Duration = Duration::from_secs(60);

fn pool(size: u32) -> Pool<Manager> {
    Pool::builder().max_size(size).build(Manager::new(Server::shared().url())).expect("a pool")
}

fn work(conn: &mut PooledConnection<Manager>) -> Result<(), NamedLockError> {
    select(1.into_sql::<Integer>()).get_result::<i32>(conn)?;
    Ok(())
}

/// Sections a second.
fn throughput(threads: usize, time: Duration, section: impl Fn() + Sync) -> f64 {
    let start = Instant::now();
    let sections: u32 = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let mut sections = 0;
                    while start.elapsed() < time {
                        section();
                        sections += 1;
                    }
                    sections
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    f64::from(sections) / start.elapsed().as_secs_f64()
}

fn main() {
    let name = "bench";
    for size in [16, 4] {
        let plain_pool = pool(size);
        let plain = || plain_pool.get().unwrap().with_named_lock(name, PATIENCE, work).unwrap();
        let locks = NamedLockPool::new(pool(size));
        let pooled = || locks.with_named_lock(name, PATIENCE, work).unwrap();
        let t = Duration::from_millis(700);
        for _ in 0..4 {
            let a = throughput(16, t, plain);
            let b = throughput(16, t, pooled);
            let c = throughput(64, t, pooled);
            let d = throughput(1, t, pooled);
            let e = throughput(1, t, plain);
            println!(
                "pool {size}: plain {a:.0} pooled {b:.0} ratio {:.2}; 64 threads {c:.0} ({:.2}); 1 thread pooled {d:.0} plain {e:.0}",
                b / a,
                c / b
            );
        }
    }
}
