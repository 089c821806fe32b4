//! Several locks in one section, beside a section inside a section for each: pinned, as one lock is.

use std::time::{Duration, Instant};

use diesel::{Connection, MysqlConnection};
use diesel_named_lock::{LockName, NamedLock, NamedLockError, NamedLockExt};
use test_server::{Product, Server};

use crate::{
    contenders::Contender,
    figure::Figure,
    pin,
    rounds::{interleaved, median},
};

pub const COUNTS: [usize; 4] = [1, 2, 10, 100];
const TIMEOUT: Duration = Duration::from_secs(10);

pub fn measure() -> Vec<Figure> {
    pin::to_one_cpu().expect("to be pinned to one CPU");
    let server = Server::start(Product::wanted()).expect("a private server");
    let mut contenders: Vec<Contender> = COUNTS
        .into_iter()
        .flat_map(|count| {
            let (lock, names) = (all_of(count), names(count));
            let together = contender("`all_of`", count, &server, move |conn| together(conn, &lock));
            let one_by_one = contender("one by one", count, &server, move |conn| one_by_one(conn, &names));
            [together, one_by_one]
        })
        .collect();
    let rounds = interleaved(&mut contenders);
    let figure = |index: usize| {
        let micros = median(rounds.iter().map(|round| round[index]));
        let title = format!("{}, {}", COUNTS[index / 2], contenders[index].title);
        let figure = Figure::new("Several locks, uncontended", &server, title, micros, "µs");
        figure.ratio_of_rounds("its time : `all_of`", rounds.iter().map(|round| round[index] / round[index & !1]))
    };
    (0..contenders.len()).map(figure).collect()
}

fn contender(
    title: &'static str,
    count: usize,
    server: &Server,
    section: impl Fn(&mut MysqlConnection) + 'static,
) -> Contender {
    let mut conn = MysqlConnection::establish(server.url()).expect("a connection");
    let sections = move |sections| {
        let start = Instant::now();
        (0..sections).for_each(|_| section(&mut conn));
        start.elapsed()
    };
    Contender { title, batch: 25_u64.div_ceil(count as u64), sections: Box::new(sections) }
}

pub fn names(count: usize) -> Vec<LockName> {
    (0..count).map(|number| LockName::try_from(format!("bench:several:{number:03}")).expect("a name")).collect()
}

pub fn all_of(count: usize) -> NamedLock {
    NamedLock::all_of(names(count)).expect("names").timeout(TIMEOUT)
}

pub fn together(conn: &mut MysqlConnection, lock: &NamedLock) {
    lock.run(conn, |_| Ok::<_, NamedLockError>(())).expect("a section");
}

pub fn one_by_one(conn: &mut MysqlConnection, names: &[LockName]) {
    if let [first, others @ ..] = names {
        let inner = |conn: &mut _| {
            one_by_one(conn, others);
            Ok::<_, NamedLockError>(())
        };
        conn.with_named_lock(first, TIMEOUT, inner).expect("a section");
    }
}
