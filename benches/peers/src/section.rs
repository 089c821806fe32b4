//! An uncontended section on a warm connection, one client, all on one CPU and through the Unix socket.

use diesel::{MysqlConnection, dsl::sql, prelude::*, select, sql_types::BigInt};
use test_server::{Product, Server};

use crate::{
    contenders::{self, Contender},
    distributed_lock,
    figure::{Aim, Figure},
    nonblocking, pin, python,
    rounds::{interleaved, median},
};

/// What the others are compared with: the method that the README shows first.
pub const OURS: usize = 3;

pub fn measure() -> Vec<Figure> {
    // First of all, so that a server which we start, and every thread of it, inherits the pinning.
    pin::to_one_cpu().expect("to be pinned to one CPU");
    let server = Server::start(Product::wanted()).expect("a private server");
    let socket = server.url().rsplit('=').next().expect("the socket's path");

    // How many times as long as ours each is to take, at least.
    let [bare, floor, typed, ours, reused, by_hand] = contenders::all(server.url());
    let others = [
        (bare, None),
        (floor, Some(1.0 / 1.10)),
        (typed, None),
        (ours, None),
        (reused, None),
        (by_hand, Some(1.0 / 0.42)),
        (distributed_lock::contender(socket), Some(1.1)),
        (python::contender("sqlalchemy-dlock", 10, socket), Some(1.8)),
        (python::contender("PyMySQLLock", 3, socket), Some(50.0)),
        (python::contender("PyMySQLLock-as-it-comes", 1, socket), None),
    ];
    let blocking = others.len();
    let nonblocking = nonblocking::all(socket).map(|contender| (contender, None));
    let (mut contenders, aims): (Vec<Contender>, Vec<Option<f64>>) = others.into_iter().chain(nonblocking).unzip();

    let rounds = interleaved(&mut contenders);
    assert_all_through_the_socket(server.url());
    let figure = |case, index: usize, ours: usize, of| {
        let micros = median(rounds.iter().map(|round| round[index]));
        let ratios = rounds.iter().map(|round| round[index] / round[ours]);
        Figure::new(case, &server, contenders[index].title, micros, "µs")
            .ratio_of_rounds(of, ratios)
            .aim(aims[index].map(Aim::RatioAtLeast))
    };
    let others = (0..blocking).map(|index| figure(CASE, index, OURS, "its time : ours"));
    let nonblocking = [OURS].into_iter().chain(blocking..contenders.len());
    let nonblocking = nonblocking.map(|index| figure(ASYNC, index, blocking, "its time : ours, async"));
    others.chain(nonblocking).collect()
}

const CASE: &str = "Uncontended section, warm, one client";
const ASYNC: &str = "The same on diesel-async";

/// The server tells a port for whoever came by TCP. (Those whose connections are short-lived look for themselves.)
fn assert_all_through_the_socket(url: &str) {
    let mut conn = MysqlConnection::establish(url).expect("one more connection");
    let by_tcp = "(SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE HOST LIKE '%:%')";
    assert_eq!(select(sql::<BigInt>(by_tcp)).get_result(&mut conn), Ok(0), "connections by TCP");
}
