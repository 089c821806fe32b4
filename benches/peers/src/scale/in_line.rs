//! Threads of one process that are in line for one lock.

use std::time::Duration;

use diesel_named_lock::pool::NamedLockPool;
use test_server::{Product, Server};

use crate::{
    figure::Figure,
    threads::{PATIENCE, Turns, pool, turns, work},
};

const SIZES: [u32; 4] = [16, 64, 256, 1000];
const TIME: Duration = Duration::from_secs(2);

pub fn measure() -> Vec<Figure> {
    let server = Server::start(Product::wanted()).expect("a private server");
    let locks = NamedLockPool::new(pool(server.url(), 16));
    let section = || locks.with_named_lock("bench:in-line", PATIENCE, work).expect("a section");
    let measured = SIZES.map(|size| (size, turns(size, TIME, &server, section)));
    let few = measured[0].1.a_second;
    let figure = |(size, Turns { a_second, micros }): (u32, Turns)| {
        Figure::new("Threads of a process in line: CPU of a section", &server, format!("{size} threads"), micros, "µs")
            .ratio("its throughput : that of the first", a_second / few)
            .size(size)
    };
    measured.map(figure).into()
}
