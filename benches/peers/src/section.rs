//! An uncontended section on a warm connection, one client, all on one CPU and through the Unix socket.

use diesel::{MysqlConnection, dsl::sql, prelude::*, select, sql_types::BigInt};
use test_server::{Product, Server};

use crate::{
    contenders::{self, Contender},
    distributed_lock,
    figure::{Figure, name_of},
    nonblocking, pin, python,
    rounds::{interleaved, median},
};

/// What the others are compared with: the method that the README shows first.
const OURS: usize = 2;

pub fn measure() -> Vec<Figure> {
    // First of all, so that a server which we start, and every thread of it, inherits the pinning.
    pin::to_one_cpu().expect("to be pinned to one CPU");
    let server = Server::start(Product::wanted()).expect("a private server");
    let socket = server.url().rsplit('=').next().expect("the socket's path");

    // How many times as long as ours each is to take, at least.
    let [floor, typed, ours, reused, by_hand] = contenders::all(server.url());
    let nonblocking = nonblocking::all(socket).map(|contender| (contender, None));
    let others = [
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
    let (mut contenders, aims): (Vec<Contender>, Vec<Option<f64>>) = others.into_iter().chain(nonblocking).unzip();

    let rounds = interleaved(&mut contenders);
    assert_all_through_the_socket(server.url());
    let figure = |(index, (contender, aim)): (usize, (&Contender, &Option<f64>))| Figure {
        case: "Uncontended section, warm, one client",
        server: name_of(&server),
        contender: contender.title.to_owned(),
        value: median(rounds.iter().map(|round| round[index])),
        unit: "µs",
        ratio: median(rounds.iter().map(|round| round[index] / round[OURS])),
        ratio_of: "its time : ours",
        aim: *aim,
        parts: Vec::new(),
    };
    contenders.iter().zip(&aims).enumerate().map(figure).collect()
}

/// The server tells a port for whoever came by TCP. (Those whose connections are short-lived look for themselves.)
fn assert_all_through_the_socket(url: &str) {
    let mut conn = MysqlConnection::establish(url).expect("one more connection");
    let by_tcp = "(SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE HOST LIKE '%:%')";
    assert_eq!(select(sql::<BigInt>(by_tcp)).get_result(&mut conn), Ok(0), "connections by TCP");
}
