//! Round trips, counted by the server: statements executed, and statements prepared, on a connection that is warm.

use std::time::Duration;

use diesel::{MysqlConnection, QueryableByName, connection::SimpleConnection, prelude::*, sql_query, sql_types::Text};
use diesel_named_lock::{
    NamedLockError, NamedLockExt,
    fence::{self, FenceError},
    job::{JobError, JobOutcome, SingletonJob},
};
use test_server::{Product, Server};

use crate::{
    figure::{Aim, Figure},
    several::{COUNTS, all_of, names, one_by_one, together},
};

const TABLES: [&str; 2] = [
    include_str!("../../../migrations/00000000000001-namedlock_create_named_lock_fences/up.sql"),
    include_str!("../../../migrations/00000000000002-namedlock_create_named_lock_ledger/up.sql"),
];
const NAME: &str = "bench:round-trips";
const TIMEOUT: Duration = Duration::from_secs(10);
const HOUR: Duration = Duration::from_secs(3600);

pub fn measure() -> Vec<Figure> {
    let server = Server::start(Product::wanted()).expect("a private server");
    let mut conn = MysqlConnection::establish(server.url()).expect("a connection");
    TABLES.iter().for_each(|table| conn.batch_execute(table).expect("a table"));
    run_often(&mut conn);

    let mut figures = Vec::new();
    let mut count = |title: &str, aim: Option<f64>, work: &dyn Fn(&mut MysqlConnection)| {
        let value = counted(&mut conn, work);
        let figure = Figure::new("Round trips", &server, title, value, "");
        figures.push(figure.aim(aim.map(Aim::ValueAtMost)));
    };
    count("a section", Some(2.0), &section);
    count("a section that draws a fencing token", Some(4.0), &fenced);
    run_job(&mut MysqlConnection::establish(server.url()).expect("a connection"), "warm");
    // It ran before: the very first run takes three more.
    count("a job with a ledger that runs", Some(7.0), &|conn| run_often(conn));
    count("the same when it is not due", Some(3.0), &|conn| assert!(!run_job(conn, "warm")));
    count("its status", Some(1.0), &|conn| assert!(job("warm").status(conn).expect("a status").is_some()));
    for number in COUNTS {
        let (lock, names) = (all_of(number), names(number));
        count(&format!("`all_of`, names: {number}"), None, &|conn| together(conn, &lock));
        count(&format!("one by one, names: {number}"), None, &|conn| one_by_one(conn, &names));
    }
    figures
}

fn section(conn: &mut MysqlConnection) {
    conn.with_named_lock(NAME, TIMEOUT, |_| Ok::<_, NamedLockError>(())).expect("a section");
}

fn fenced(conn: &mut MysqlConnection) {
    let draw = |conn: &mut _| fence::next_token(conn, NAME);
    conn.with_named_lock::<_, FenceError, _>(NAME, TIMEOUT, draw).expect("a token");
}

fn job(name: &str) -> SingletonJob {
    SingletonJob::new(format!("bench:job-{name}")).expect("a job").at_most_every(HOUR)
}

/// Whether it was due.
fn run_job(conn: &mut MysqlConnection, name: &str) -> bool {
    let outcome = job(name).run(conn, |_| Ok::<_, JobError>(())).expect("an outcome");
    matches!(outcome, JobOutcome::Ran(()))
}

fn run_often(conn: &mut MysqlConnection) {
    let outcome = job("often").at_most_every(Duration::from_micros(1)).run(conn, |_| Ok::<_, JobError>(()));
    assert!(matches!(outcome, Ok(JobOutcome::Ran(()))), "{outcome:?}");
}

/// The least of some times: the first prepares, and what is left of a timeout has a statement of its own on a busy machine.
fn counted(conn: &mut MysqlConnection, work: &dyn Fn(&mut MysqlConnection)) -> f64 {
    let count = |_| {
        let first = asked(conn);
        let second = asked(conn);
        work(conn);
        let counting = second - first;
        asked(conn) - second - counting
    };
    (0..5).map(count).min().map_or(0.0, f64::from)
}

#[derive(QueryableByName)]
struct Counter {
    #[diesel(sql_type = Text, column_name = Value)]
    value: String,
}

fn asked(conn: &mut MysqlConnection) -> u32 {
    let query = "SHOW SESSION STATUS WHERE Variable_name IN ('Questions', 'Com_stmt_prepare')";
    let rows: Vec<Counter> = sql_query(query).load(conn).expect("counters");
    rows.iter().map(|row| row.value.parse::<u32>().expect("a number")).sum()
}
