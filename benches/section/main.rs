//! What a section costs, beside the same by hand and beside the floor.
//!
//! `cargo bench --bench section`, with `TEST_SERVER=mysql` for MySQL. Criterion's figures come first, then a table of
//! ratios: times differ from machine to machine, ratios hardly.

use std::time::Duration;

use criterion::Criterion;
use diesel::{
    MysqlConnection, QueryableByName,
    prelude::*,
    sql_query,
    sql_types::{Integer, Nullable, Text},
};
use diesel_named_lock::{NamedLock, NamedLockError, NamedLockExt};
use test_server::Server;

mod c_client;
mod pin;
mod ratios;

const NAME: &str = "bench:section";
const TIMEOUT: i32 = 10;

/// One way to write an uncontended section, on a warm connection of its own.
struct Contender {
    title: &'static str,
    section: Box<dyn FnMut()>,
}

fn main() {
    // First of all, so that a server which we start, and every thread of it, inherits the pinning.
    let pinned = pin::to_one_cpu();
    let server = Server::shared();
    let mut contenders =
        [c_client(server.url()), with_named_lock(server.url()), reused_named_lock(server.url()), by_hand(server.url())];

    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    let mut group = criterion.benchmark_group(format!("uncontended section, {}", server.product()));
    for Contender { title, section } in &mut contenders {
        group.bench_function(*title, |bencher| bencher.iter(&mut *section));
    }
    group.finish();
    criterion.final_summary();

    // Not where Cargo only tries whether benchmarks run.
    if std::env::args().any(|arg| arg == "--bench") {
        println!("{} {}: {}", server.product(), server.version(), pinning(server, pinned));
        ratios::print(&mut contenders);
    }
}

fn with_named_lock(url: &str) -> Contender {
    let mut conn = connect(url);
    let section = move || {
        conn.with_named_lock(NAME, seconds(TIMEOUT), |_| Ok::<_, NamedLockError>(())).unwrap();
    };
    Contender { title: "conn.with_named_lock", section: Box::new(section) }
}

fn reused_named_lock(url: &str) -> Contender {
    let mut conn = connect(url);
    let lock = NamedLock::new(NAME).unwrap().timeout(seconds(TIMEOUT));
    let section = move || {
        lock.run(&mut conn, |_| Ok::<_, NamedLockError>(())).unwrap();
    };
    Contender { title: "NamedLock::run, reused", section: Box::new(section) }
}

#[derive(QueryableByName)]
struct Answer {
    #[diesel(sql_type = Nullable<Integer>)]
    answer: Option<i32>,
}

/// As an application writes it, with both answers read, as it should.
fn by_hand(url: &str) -> Contender {
    let mut conn = connect(url);
    let section = move || {
        let acquired: Answer = sql_query("SELECT GET_LOCK(?, ?) AS answer")
            .bind::<Text, _>(NAME)
            .bind::<Integer, _>(TIMEOUT)
            .get_result(&mut conn)
            .unwrap();
        assert_eq!(acquired.answer, Some(1));
        let released: Answer =
            sql_query("SELECT RELEASE_LOCK(?) AS answer").bind::<Text, _>(NAME).get_result(&mut conn).unwrap();
        assert_eq!(released.answer, Some(1));
    };
    Contender { title: "sql_query by hand", section: Box::new(section) }
}

/// The floor: nobody gets an answer from the server with less.
fn c_client(url: &str) -> Contender {
    let conn = c_client::Connection::establish(url);
    let mut acquire = conn.prepare(c"SELECT GET_LOCK(?, ?)", NAME, Some(TIMEOUT));
    let mut release = conn.prepare(c"SELECT RELEASE_LOCK(?)", NAME, None);
    let section = move || {
        assert_eq!(acquire.ask(), 1);
        assert_eq!(release.ask(), 1);
    };
    Contender { title: "C client", section: Box::new(section) }
}

fn connect(url: &str) -> MysqlConnection {
    MysqlConnection::establish(url).unwrap()
}

fn seconds(seconds: i32) -> Duration {
    Duration::from_secs(seconds.unsigned_abs().into())
}

fn pinning(server: &Server, pinned: Result<u32, String>) -> String {
    match pinned {
        Ok(cpu) if server.pid().is_some() => format!("server and client pinned to CPU {cpu}"),
        Ok(cpu) => format!("client pinned to CPU {cpu}, but the server is not ours to pin: ratios vary"),
        Err(error) => format!("NOT PINNED, so ratios vary ({error})"),
    }
}
