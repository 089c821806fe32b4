//! What a section costs the client's processor: instructions, which are the same on a busy machine.

use std::env;

use test_server::{Product, Server};

use crate::{
    callgrind::{self, Instructions, Origin},
    contenders::{self, Contender, FLOOR},
    figure::{Aim, Figure},
    nonblocking,
    section::OURS,
};

/// What connecting and preparing cost is the same for both, and so not in the difference.
const FEW: u64 = 100;
const MANY: u64 = 600;

/// Of async sections, the client library is mysql_async, and what is tokio's is with Rust's library.
const PARTS: [(Origin, &str); 6] = [
    (Origin::Ours, "this crate"),
    (Origin::Diesel, "Diesel"),
    (Origin::ClientLibrary, "client library"),
    (Origin::Allocator, "allocator"),
    (Origin::CLibrary, "rest of the C library"),
    (Origin::RustLibrary, "Rust's library"),
];

pub fn measure() -> Vec<Figure> {
    let server = Server::start(Product::wanted()).expect("a private server");
    let counts: Vec<_> = contenders(server.url())
        .map(|contender| (contender.title, of_a_section(contender.title, server.url())))
        .collect();
    let sum = |instructions: &Instructions| instructions.values().sum::<f64>();
    let floor = sum(&counts[FLOOR].1);
    let limit = Aim::ValueAtMost(if server.product().is_mariadb() { 25_500.0 } else { 31_500.0 });
    let figure = |(index, (title, instructions)): (usize, &(&'static str, Instructions))| {
        let parts = PARTS.map(|(origin, name)| (name, instructions.get(&origin).copied().unwrap_or(0.0)));
        Figure::new("Client CPU of a section", &server, *title, sum(instructions), "instructions")
            .ratio("its : the C client's, same questions", sum(instructions) / floor)
            .aim((index == OURS).then_some(limit))
            .parts(parts)
    };
    counts.iter().enumerate().map(figure).collect()
}

fn contenders(url: &str) -> impl Iterator<Item = Contender> {
    let socket = url.rsplit('=').next().expect("the socket's path");
    contenders::all(url).into_iter().chain(nonblocking::all(socket))
}

fn of_a_section(title: &str, database_url: &str) -> Instructions {
    let count = |sections: u64| callgrind::count(&["repeat", title, &sections.to_string()], database_url);
    let few = count(FEW);
    let per_section = |(origin, many): (Origin, f64)| {
        let few = few.get(&origin).copied().unwrap_or(0.0);
        (origin, (many - few) / (MANY - FEW) as f64)
    };
    count(MANY).into_iter().map(per_section).collect()
}

/// Only so many sections of one contender, on the server of `DATABASE_URL`.
pub fn repeat(title: &str, count: u64) {
    let url = env::var("DATABASE_URL").expect("a server");
    let mut contender = contenders(&url).find(|contender| contender.title == title).expect("a contender");
    (contender.sections)(count);
}
