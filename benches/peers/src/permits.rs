//! Many sessions and few permits, beside what people build with tables: unpinned.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use diesel::{
    Connection, MysqlConnection, RunQueryDsl, connection::SimpleConnection, dsl::sql, prelude::*, select, sql_query,
    sql_types::Integer,
};
use diesel_named_lock::{
    NamedLockError,
    permits::{Permits, SharedLock},
};
use test_server::{Product, Server};

use crate::{cpu::micros_of, figure::Figure};

const SESSIONS: usize = 100;
const PERMITS: u32 = 3;
const WORK: Duration = Duration::from_millis(5);
const TIME: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks of those that are not told.
const POLL: Duration = Duration::from_millis(2);

type Section = fn(&mut MysqlConnection);

pub fn measure() -> Vec<Figure> {
    let server = Server::start(Product::wanted()).expect("a private server");
    prepare(&server);
    let permits = [
        ("`Permits`", permit as Section),
        ("a counter in a table, `FOR UPDATE`", counted),
        ("rows of a table, `SKIP LOCKED`", row),
    ];
    let figures = permits.map(|(title, section)| {
        let run = Run::of(&server, &[section; SESSIONS]);
        let waits = run.waits(0..SESSIONS);
        let turns = run.turns(0..SESSIONS);
        Figure::new(
            "100 sessions, 3 permits, 5 ms of work (ideal: 600 /s)",
            &server,
            title,
            run.a_second(0..SESSIONS),
            "/s",
        )
        .parts([
            ("median wait, ms", millis(&waits, 0.5)),
            ("99 % within, ms", millis(&waits, 0.99)),
            ("fewest turns of a session", turns[0] as f64),
            ("most", turns[SESSIONS - 1] as f64),
            ("server, % of a CPU", run.cpu * 100.0),
        ])
    });
    let sections: Vec<Section> =
        (0..18).map(|number| if number < 16 { shared as Section } else { exclusive }).collect();
    let run = Run::of(&server, &sections);
    let kinds = [("shared, 16 sessions", 0..16), ("exclusive, 2 sessions", 16..18)].map(|(title, sessions)| {
        let (waits, turns) = (run.waits(sessions.clone()), run.turns(sessions.clone()));
        let case = "`SharedLock`: 16 shared and 2 exclusive sessions, 5 ms of work";
        Figure::new(case, &server, title, run.a_second(sessions), "/s").parts([
            ("median wait, ms", millis(&waits, 0.5)),
            ("99 % within, ms", millis(&waits, 0.99)),
            ("fewest turns of a session", turns[0] as f64),
            ("most", turns[turns.len() - 1] as f64),
            ("server, % of a CPU", run.cpu * 100.0),
        ])
    });
    figures.into_iter().chain(kinds).collect()
}

fn prepare(server: &Server) {
    let mut conn = MysqlConnection::establish(server.url()).expect("a connection");
    let rows: Vec<_> = (1..=PERMITS).map(|number| format!("({number})")).collect();
    let tables = [
        "CREATE TABLE permits_held (held INT NOT NULL) ENGINE = InnoDB".to_owned(),
        "INSERT INTO permits_held VALUES (0)".to_owned(),
        "CREATE TABLE permit_rows (id INT PRIMARY KEY) ENGINE = InnoDB".to_owned(),
        format!("INSERT INTO permit_rows VALUES {}", rows.join(", ")),
    ];
    for table in tables {
        sql_query(table).execute(&mut conn).expect("a table");
    }
}

fn permit(conn: &mut MysqlConnection) {
    static PERMITS_OF_BENCH: Permits = Permits::from_static("bench", PERMITS);
    locked(conn, PERMITS_OF_BENCH.permit());
}

fn shared(conn: &mut MysqlConnection) {
    locked(conn, SharedLock::from_static("bench").shared());
}

fn exclusive(conn: &mut MysqlConnection) {
    locked(conn, SharedLock::from_static("bench").exclusive());
}

fn locked(conn: &mut MysqlConnection, lock: diesel_named_lock::NamedLock) {
    let section = lock.timeout(PATIENCE).run(conn, |_| {
        work();
        Ok::<_, NamedLockError>(())
    });
    section.expect("a section");
}

thread_local! {
    static BEGAN: std::cell::Cell<Option<Instant>> = const { std::cell::Cell::new(None) };
}

fn work() {
    BEGAN.set(Some(Instant::now()));
    thread::sleep(WORK);
}

fn counted(conn: &mut MysqlConnection) {
    let acquire = |conn: &mut MysqlConnection| {
        conn.transaction(|conn| {
            let held: i32 = select(sql::<Integer>("(SELECT held FROM permits_held FOR UPDATE)")).get_result(conn)?;
            if held < PERMITS as i32 {
                sql_query("UPDATE permits_held SET held = held + 1").execute(conn)?;
            }
            QueryResult::Ok(held < PERMITS as i32)
        })
    };
    while !acquire(conn).expect("an answer") {
        thread::sleep(POLL);
    }
    work();
    sql_query("UPDATE permits_held SET held = held - 1").execute(conn).expect("a release");
}

/// The row is locked until the transaction ends.
fn row(conn: &mut MysqlConnection) {
    loop {
        conn.batch_execute("BEGIN").expect("a transaction");
        let locked =
            sql_query("SELECT id FROM permit_rows LIMIT 1 FOR UPDATE SKIP LOCKED").execute(conn).expect("rows");
        if locked > 0 {
            work();
        }
        conn.batch_execute("COMMIT").expect("a commit");
        if locked > 0 {
            return;
        }
        thread::sleep(POLL);
    }
}

/// What all sessions did at once, in the same time.
struct Run {
    /// The waits of each session.
    waits: Vec<Vec<Duration>>,
    took: Duration,
    /// Of the server, in processors.
    cpu: f64,
}

impl Run {
    fn of(server: &Server, sections: &[Section]) -> Self {
        let is_over = AtomicBool::new(false);
        let pid = server.pid().expect("a private server");
        let mut conns: Vec<_> =
            sections.iter().map(|_| MysqlConnection::establish(server.url()).expect("a connection")).collect();
        let (before, start) = (micros_of(pid), Instant::now());
        let session = |section: Section, conn: &mut MysqlConnection| {
            let mut waits = Vec::new();
            while !is_over.load(Ordering::Relaxed) {
                let asked = Instant::now();
                section(conn);
                waits.push(BEGAN.take().expect("the work") - asked);
            }
            waits
        };
        let session = &session;
        let waits = thread::scope(|scope| {
            let threads: Vec<_> = sections
                .iter()
                .zip(&mut conns)
                .map(|(&section, conn)| scope.spawn(move || session(section, conn)))
                .collect();
            thread::sleep(TIME);
            is_over.store(true, Ordering::Relaxed);
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        let took = start.elapsed();
        Self { waits, took, cpu: (micros_of(pid) - before) / 1e6 / took.as_secs_f64() }
    }

    fn a_second(&self, sessions: std::ops::Range<usize>) -> f64 {
        self.turns(sessions).iter().sum::<usize>() as f64 / self.took.as_secs_f64()
    }

    /// The fewest come first.
    fn turns(&self, sessions: std::ops::Range<usize>) -> Vec<usize> {
        let mut turns: Vec<_> = self.waits[sessions].iter().map(Vec::len).collect();
        turns.sort_unstable();
        turns
    }

    /// The shortest come first.
    fn waits(&self, sessions: std::ops::Range<usize>) -> Vec<Duration> {
        let mut waits: Vec<_> = self.waits[sessions].concat();
        waits.sort_unstable();
        waits
    }
}

fn millis(sorted: &[Duration], part: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e3
}
