//! Sessions that wait for one lock in the server.

use std::{
    thread,
    time::{Duration, Instant},
};

use diesel::{MysqlConnection, dsl::sql, prelude::*, select, sql_types::BigInt};
use diesel_async::{AsyncConnection, AsyncMysqlConnection};
use diesel_named_lock::{NamedLockError, NamedLockExt, nonblocking};
use test_server::{Product, Server};
use tokio::{runtime, task::JoinSet};

use crate::{cpu::micros_of, figure::Figure};

const SIZES: [u32; 4] = [10, 100, 500, 2000];
const NAME: &str = "bench:sessions";
const PATIENCE: Duration = Duration::from_secs(300);
/// Of all sessions together.
const TURNS: u32 = 4000;

pub fn measure() -> Vec<Figure> {
    let many = ["--max-connections=2100", "--open-files-limit=8192"].map(String::from);
    let server = Server::start_with(Product::wanted(), &many)
        .expect("a private server; 2,000 connections need as many open files: `ulimit -n 8192`");
    let measured = SIZES.map(|size| (size, micros_of_a_turn(&server, size)));
    let few = measured[0].1;
    let figure = |(size, micros): (u32, f64)| {
        Figure::new(
            "Sessions in line at the server: its CPU of a section",
            &server,
            format!("{size} sessions"),
            micros,
            "µs",
        )
        .ratio("of the first", micros / few)
        .size(size)
    };
    measured.map(figure).into()
}

/// All wait before the first has its turn. Each asks again when it had one, until all have had the same number.
fn micros_of_a_turn(server: &Server, size: u32) -> f64 {
    let pid = server.pid().expect("a private server");
    let mut holder = MysqlConnection::establish(server.url()).expect("a connection");
    let socket = server.url().rsplit('=').next().expect("the socket's path");
    let url = format!("mysql://root@localhost?socket={socket}");
    let hold = |holder: &mut MysqlConnection| {
        let waiters = thread::spawn(move || wait_and_have_turns(&url, size));
        wait_until_all_wait(holder, size);
        Ok::<_, NamedLockError>((waiters, micros_of(pid)))
    };
    let (waiters, before) = holder.with_named_lock(NAME, PATIENCE, hold).expect("a section");
    waiters.join().expect("all to have their turns");
    (micros_of(pid) - before) / f64::from(TURNS)
}

fn wait_and_have_turns(url: &str, size: u32) {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut waiters = JoinSet::new();
        for _ in 0..size {
            let mut conn = AsyncMysqlConnection::establish(url).await.expect("a connection");
            waiters.spawn(async move {
                for _ in 0..TURNS / size {
                    let work = async |_: &mut _| Ok::<_, NamedLockError>(());
                    let section = nonblocking::NamedLockExt::with_named_lock(&mut conn, NAME, PATIENCE, work);
                    section.await.expect("a section");
                }
                // Its end would cost the server something, too.
                conn
            });
        }
        let _connections = waiters.join_all().await;
    });
}

fn wait_until_all_wait(conn: &mut MysqlConnection, size: u32) {
    let waiting = "(SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE STATE = 'User lock')";
    let start = Instant::now();
    while select(sql::<BigInt>(waiting)).get_result(conn) != Ok(i64::from(size)) {
        assert!(start.elapsed() < PATIENCE, "{size} sessions don't all wait");
        thread::sleep(Duration::from_millis(20));
    }
}
