//! Many threads of one process and one lock, unpinned: connections that each thread checks out, beside `NamedLockPool`.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use diesel::{
    Connection, IntoSql, MysqlConnection, RunQueryDsl,
    r2d2::{ConnectionManager, Pool, PooledConnection},
    select,
    sql_types::Integer,
};
use diesel_named_lock::{NamedLockError, NamedLockExt, pool::NamedLockPool};
use test_server::{Product, Server};

use crate::{
    cpu::micros_of,
    figure::{Aim, Figure},
    rounds::median,
    slow_network,
};

pub type Manager = ConnectionManager<MysqlConnection>;

const NAME: &str = "bench:threads";
pub const PATIENCE: Duration = Duration::from_secs(60);
const THREADS: u32 = 16;
const ROUNDS: usize = 15;
const ROUND: Duration = Duration::from_millis(250);

/// The ways, in the order of their figures.
const WAYS: [&str; 3] = [
    "`with_named_lock` on a connection that each thread checks out",
    "`NamedLockPool`",
    "`NamedLockPool` with `group_confirmation`",
];

pub fn measure() -> Vec<Figure> {
    let server = Server::start(Product::wanted()).expect("a private server");
    let rounds = side_by_side(&server, server.url(), 16);
    let throughput = of_throughput("16 threads, one lock, pool of 16", &server, &rounds, [None; 3]);

    let limit = Aim::ValueAtMost(if server.product().is_mariadb() { 40.0 } else { 50.0 });
    let cpu = (0..).zip(WAYS).map(|(way, title)| {
        let cpu = median(rounds.iter().map(|round| round[way].micros));
        let ratios = rounds.iter().map(|round| round[way].micros / round[0].micros);
        Figure::new("The same: CPU of client and server for a section", &server, title, cpu, "µs")
            .ratio("of the first", median(ratios))
            .aim((way > 0).then_some(limit))
    });

    let few = side_by_side(&server, server.url(), 4);
    let few = of_throughput("16 threads, one lock, pool of 4", &server, &few, [None; 3]);
    throughput.chain(cpu).chain(few).collect()
}

pub fn measure_on_a_slow_network() -> Vec<Figure> {
    let server = Server::start(Product::wanted()).expect("a private server");
    let url = slow_network::in_front_of(&server, Duration::from_micros(500));
    let case = "16 threads, one lock, pool of 16, half a millisecond of network";
    let trip = Figure::new(case, &server, "(a round trip takes)", round_trip(&url), "µs");
    let rounds = side_by_side(&server, &url, 16);
    let aim = Some(Aim::RatioAtLeast(1.5));
    of_throughput(case, &server, &rounds, [None, aim, aim]).chain([trip]).collect()
}

fn round_trip(url: &str) -> f64 {
    let mut conn = MysqlConnection::establish(url).expect("a connection");
    let mut ask = || {
        let start = Instant::now();
        assert_eq!(select(1.into_sql::<Integer>()).get_result(&mut conn), Ok(1));
        start.elapsed().as_secs_f64() * 1e6
    };
    ask();
    median((0..500).map(|_| ask()))
}

fn of_throughput<'a>(
    case: &'static str,
    server: &'a Server,
    rounds: &'a [[Turns; 3]],
    aims: [Option<Aim>; 3],
) -> impl Iterator<Item = Figure> + use<'a> {
    (0..).zip(WAYS).map(move |(way, title)| {
        let rate = median(rounds.iter().map(|round| round[way].a_second));
        let ratios = rounds.iter().map(|round| round[way].a_second / round[0].a_second);
        Figure::new(case, server, title, rate, "/s").ratio("of the first", median(ratios)).aim(aims[way])
    })
}

fn side_by_side(server: &Server, url: &str, size: u32) -> Vec<[Turns; 3]> {
    let plain_pool = pool(url, size);
    let locks = NamedLockPool::new(pool(url, size));
    let grouped = NamedLockPool::builder(pool(url, size)).group_confirmation().build();
    let plain = || plain_pool.get().expect("a connection").with_named_lock(NAME, PATIENCE, work).expect("a section");
    let pooled = || locks.with_named_lock(NAME, PATIENCE, work).expect("a section");
    let faster = || grouped.with_named_lock(NAME, PATIENCE, work).expect("a section");
    assert_one_connection_for_all(&locks, server);

    let round = |_| {
        [
            turns(THREADS, ROUND, server, plain),
            turns(THREADS, ROUND, server, pooled),
            turns(THREADS, ROUND, server, faster),
        ]
    };
    (0..ROUNDS).map(round).collect()
}

pub fn pool(url: &str, size: u32) -> Pool<Manager> {
    Pool::builder().max_size(size).build(Manager::new(url)).expect("a pool")
}

pub fn work(conn: &mut PooledConnection<Manager>) -> Result<(), NamedLockError> {
    select(1.into_sql::<Integer>()).get_result::<i32>(conn)?;
    Ok(())
}

/// Sections of many threads together.
pub struct Turns {
    pub a_second: f64,
    /// What each took of the processors, in client and server.
    pub micros: f64,
}

pub fn turns(threads: u32, time: Duration, server: &Server, section: impl Fn() + Sync) -> Turns {
    let used = || micros_of(std::process::id()) + micros_of(server.pid().expect("a private server"));
    let before = used();
    let start = Instant::now();
    let run = || {
        let mut sections = 0_u32;
        while start.elapsed() < time {
            section();
            sections += 1;
        }
        sections
    };
    let sections: u32 = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
    });
    let sections = f64::from(sections);
    Turns { a_second: sections / start.elapsed().as_secs_f64(), micros: (used() - before) / sections }
}

/// Whoever looks at the pool from inside a section sees its own connection in use, and at most one of those who wait.
fn assert_one_connection_for_all(locks: &NamedLockPool<Manager>, server: &Server) {
    let most = AtomicU32::new(0);
    turns(THREADS, ROUND, server, || {
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
