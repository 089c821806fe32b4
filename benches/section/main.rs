//! What a section costs, beside the same by hand and beside the floor.
//!
//! `cargo bench --bench section`, with `TEST_SERVER=mysql` for MySQL. Criterion's figures come first, then a table of
//! ratios: times differ from machine to machine, ratios hardly.

use std::time::Duration;

use criterion::Criterion;
use test_server::Server;

use contenders::Contender;

mod c_client;
mod contenders;
mod pin;
mod ratios;
mod rounds;

fn main() {
    // First of all, so that a server which we start, and every thread of it, inherits the pinning.
    let pinned = pin::to_one_cpu();
    let server = Server::shared();
    let mut contenders = contenders::all(server.url());

    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    let mut group = criterion.benchmark_group(format!("uncontended section, {}", server.product()));
    for Contender { title, sections, .. } in &mut contenders {
        group.bench_function(*title, |bencher| bencher.iter_custom(&mut *sections));
    }
    group.finish();
    criterion.final_summary();

    // Not if Cargo only tests that benchmarks run.
    if std::env::args().any(|arg| arg == "--bench") {
        println!("{} {}: {}", server.product(), server.version(), pinning(server, pinned));
        ratios::print(&mut contenders);
    }
}

fn pinning(server: &Server, pinned: Result<u32, String>) -> String {
    match pinned {
        Ok(cpu) if server.pid().is_some() => format!("server and client pinned to CPU {cpu}"),
        Ok(cpu) => format!("client pinned to CPU {cpu}, but the server is not ours to pin: ratios vary"),
        Err(error) => format!("NOT PINNED, so ratios vary ({error})"),
    }
}
