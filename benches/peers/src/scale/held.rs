//! Locks that are held at the same time: what one more section costs, and what it costs to list them.

use diesel::{MysqlConnection, connection::SimpleConnection, prelude::*};
use diesel_named_lock::{NamedLockError, NamedLockExt, operator::named_locks};
use test_server::{Product, Server};

use crate::{cpu::micros_of, figure::Figure, threads::PATIENCE};

const SIZES: [u32; 4] = [50, 500, 5000, 10_000];
const OF_A_SESSION: usize = 50;
const SECTIONS: u32 = 20_000;

pub fn measure() -> Vec<Figure> {
    let server = Server::start(Product::wanted()).expect("a private server");
    let mut conn = MysqlConnection::establish(server.url()).expect("a connection");
    if server.product().is_mariadb() {
        let install = "INSTALL PLUGIN IF NOT EXISTS metadata_lock_info SONAME 'metadata_lock_info'";
        conn.batch_execute(install).expect("MariaDB's plugin that lists locks");
    }
    let mut holders = Vec::new();
    let used = |work: &mut dyn FnMut()| {
        let used = || micros_of(std::process::id()) + micros_of(server.pid().expect("a private server"));
        let before = used();
        work();
        used() - before
    };
    let measured = SIZES.map(|size| {
        hold(&server, &mut holders, size);
        let sections = used(&mut || (0..SECTIONS).for_each(|number| section(&mut conn, number)));
        let lists = 50_000 / size;
        let listing = used(&mut || (0..lists).for_each(|_| list(&mut conn, size)));
        (size, sections / f64::from(SECTIONS), listing / 1000.0 / f64::from(lists))
    });
    let (_, section, listing) = measured[0];
    let sections = measured.map(|(size, micros, _)| {
        Figure::new(
            "Names in use at the server: CPU of one more section",
            &server,
            format!("{size} names"),
            micros,
            "µs",
        )
        .ratio("of the first", micros / section)
        .size(size)
    });
    let listings = measured.map(|(size, _, millis)| {
        Figure::new("Names in use at the server: CPU of `named_locks`", &server, format!("{size} names"), millis, "ms")
            .ratio("of the first", millis / listing)
            .size(size)
    });
    sections.into_iter().chain(listings).collect()
}

/// Until so many are held, by sessions of fifty each.
fn hold(server: &Server, holders: &mut Vec<MysqlConnection>, size: u32) {
    while holders.len() * OF_A_SESSION < size as usize {
        let first = holders.len() * OF_A_SESSION;
        let locks = (first..first + OF_A_SESSION).map(|number| format!("GET_LOCK('bench:held:{number}', 0)"));
        let mut conn = MysqlConnection::establish(server.url()).expect("a connection");
        conn.batch_execute(&format!("DO {}", locks.collect::<Vec<_>>().join(", "))).expect("locks");
        holders.push(conn);
    }
}

/// Of one name after the other.
fn section(conn: &mut MysqlConnection, number: u32) {
    let name = format!("bench:more:{number}");
    conn.with_named_lock(name, PATIENCE, |_| Ok::<_, NamedLockError>(())).expect("a section");
}

fn list(conn: &mut MysqlConnection, size: u32) {
    let locks = named_locks(conn).expect("the locks");
    assert_eq!(locks.with_prefix("bench:held:").count(), size as usize);
}
