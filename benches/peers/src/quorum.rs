//! A section over a quorum of three servers, beside one over a single server, on a connection that is checked out for it: on the loopback, and
//! on a network with a millisecond for a round trip.

use std::time::{Duration, Instant};

use diesel::{
    MysqlConnection,
    r2d2::{ConnectionManager, Pool},
};
use diesel_named_lock::{
    NamedLock, NamedLockError,
    quorum::{Quorum, QuorumError},
};
use test_server::{Product, Server};

use crate::{
    contenders::Contender,
    figure::Figure,
    rounds::{interleaved, median},
    slow_network::in_front_of,
};

const ROUND_TRIP: Duration = Duration::from_millis(1);
const CASE: &str = "Uncontended section over three servers";

static LOCK: NamedLock = NamedLock::from_static("bench:quorum");

type Manager = ConnectionManager<MysqlConnection>;

pub fn measure() -> Vec<Figure> {
    let servers = [(); 3].map(|()| Server::start(Product::wanted()).expect("a private server"));
    let near = servers.each_ref().map(|server| server.url().to_owned());
    let far = servers.each_ref().map(|server| in_front_of(server, ROUND_TRIP));
    let of = |urls: &[String; 3]| [one_server(&urls[0]), quorum(urls)];
    let mut contenders: Vec<Contender> = of(&near).into_iter().chain(of(&far)).collect();
    let rounds = interleaved(&mut contenders);
    let networks = ["loopback", "1 ms a round trip"];
    let figure = |index: usize| {
        let micros = median(rounds.iter().map(|round| round[index]));
        let title = format!("{}, {}", networks[index / 2], contenders[index].title);
        let ratio = median(rounds.iter().map(|round| round[index] / round[index & !1]));
        Figure::new(CASE, &servers[0], title, micros, "µs").ratio("its time : one server", ratio)
    };
    (0..contenders.len()).map(figure).collect()
}

fn pool(url: &str) -> Pool<Manager> {
    Pool::builder().max_size(4).min_idle(Some(0)).build(Manager::new(url)).expect("a pool")
}

fn one_server(url: &str) -> Contender {
    let pool = pool(url);
    timed("one server, checked out", move || {
        let mut conn = pool.get().expect("a connection");
        LOCK.run(&mut *conn, |_| Ok::<_, NamedLockError>(())).expect("a section");
    })
}

fn quorum(urls: &[String; 3]) -> Contender {
    let nodes = ["a", "b", "c"].into_iter().zip(urls);
    let quorum = nodes.fold(Quorum::builder(), |quorum, (name, url)| quorum.node(name, pool(url)));
    let quorum = quorum.build().expect("three nodes");
    timed("a quorum of three", move || quorum.run(&LOCK, |_| Ok::<_, QuorumError>(())).expect("a section"))
}

fn timed(title: &'static str, section: impl Fn() + 'static) -> Contender {
    let sections = move |sections| {
        let start = Instant::now();
        (0..sections).for_each(|_| section());
        start.elapsed()
    };
    Contender { title, batch: 5, sections: Box::new(sections) }
}
