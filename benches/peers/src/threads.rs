//! Many threads of one process and one lock, unpinned: connections that each thread checks out, beside `NamedLockPool`.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use diesel::{
    IntoSql, MysqlConnection, RunQueryDsl,
    r2d2::{ConnectionManager, Pool, PooledConnection},
    select,
    sql_types::Integer,
};
use diesel_named_lock::{NamedLockError, NamedLockExt, pool::NamedLockPool};
use test_server::{Product, Server};

use crate::{
    figure::{Figure, name_of},
    rounds::median,
};

pub type Manager = ConnectionManager<MysqlConnection>;

const NAME: &str = "bench:threads";
const PATIENCE: Duration = Duration::from_secs(60);
const ROUNDS: usize = 15;
const ROUND: Duration = Duration::from_millis(250);

pub fn measure() -> Vec<Figure> {
    let server = Server::start(Product::wanted()).expect("a private server");
    let sizes = [(16, "16 threads, one lock, pool of 16"), (4, "16 threads, one lock, pool of 4")];
    sizes.into_iter().flat_map(|(size, case)| side_by_side(&server, size, case)).collect()
}

fn side_by_side(server: &Server, size: u32, case: &'static str) -> Vec<Figure> {
    let plain_pool = pool(server.url(), size);
    let locks = NamedLockPool::new(pool(server.url(), size));
    let unconfirmed = NamedLockPool::builder(pool(server.url(), size)).unconfirmed_hand_offs().build();
    let plain = || plain_pool.get().expect("a connection").with_named_lock(NAME, PATIENCE, work).expect("a section");
    let pooled = || locks.with_named_lock(NAME, PATIENCE, work).expect("a section");
    let faster = || unconfirmed.with_named_lock(NAME, PATIENCE, work).expect("a section");
    assert_one_connection_for_all(&locks);

    let round = |_| [throughput(16, plain), throughput(16, pooled), throughput(64, pooled), throughput(16, faster)];
    let rounds: Vec<[f64; 4]> = (0..ROUNDS).map(round).collect();
    let figure = |contender: &str, index: usize, aim| Figure {
        case,
        server: name_of(server),
        contender: contender.to_owned(),
        value: median(rounds.iter().map(|round| round[index])),
        unit: "/s",
        ratio: median(rounds.iter().map(|round| round[index] / round[0])),
        ratio_of: "of the first",
        aim,
        parts: Vec::new(),
    };
    let more_threads = Figure {
        ratio: median(rounds.iter().map(|round| round[2] / round[1])),
        ratio_of: "of 16 threads",
        ..figure("the same, 64 threads (of 16 threads)", 2, Some(0.85))
    };
    vec![
        figure("`with_named_lock` on a connection that each thread checks out", 0, None),
        figure("`NamedLockPool`", 1, Some(2.0)),
        figure("`NamedLockPool` with `unconfirmed_hand_offs`", 3, Some(2.0)),
        more_threads,
    ]
}

pub fn pool(url: &str, size: u32) -> Pool<Manager> {
    Pool::builder().max_size(size).build(Manager::new(url)).expect("a pool")
}

pub fn work(conn: &mut PooledConnection<Manager>) -> Result<(), NamedLockError> {
    select(1.into_sql::<Integer>()).get_result::<i32>(conn)?;
    Ok(())
}

/// Sections a second, of so many threads together.
fn throughput(threads: u32, section: impl Fn() + Sync) -> f64 {
    let start = Instant::now();
    let run = || {
        let mut sections = 0_u32;
        while start.elapsed() < ROUND {
            section();
            sections += 1;
        }
        sections
    };
    let sections: u32 = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
    });
    f64::from(sections) / start.elapsed().as_secs_f64()
}

/// Whoever looks at the pool from inside a section sees its own connection in use, and at most one of those who wait.
fn assert_one_connection_for_all(locks: &NamedLockPool<Manager>) {
    let most = AtomicU32::new(0);
    throughput(16, || {
        let look = |conn: &mut _| {
            let state = locks.pool().state();
            most.fetch_max(state.connections - state.idle_connections, Ordering::Relaxed);
            work(conn)
        };
        locks.with_named_lock(NAME, PATIENCE, look).expect("a section");
    });
    let most = most.into_inner();
    assert!(most <= 2, "{most} connections in use for one lock");
}
