//! The ways to write an uncontended section, each on a warm connection of its own.

use std::{
    cell::Cell,
    ffi::CString,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use diesel::{
    MysqlConnection, QueryableByName,
    connection::InstrumentationEvent,
    prelude::*,
    select, sql_query,
    sql_types::{Integer, Nullable, Text},
};
use diesel_named_lock::{NamedLock, NamedLockError, NamedLockExt};

use crate::c_client::{self, Parameter};

pub mod sql {
    use diesel::{declare_sql_function, sql_types::*};

    #[declare_sql_function]
    extern "SQL" {
        fn get_lock(name: Text, seconds: Integer) -> Nullable<Integer>;
        fn release_lock(name: Text) -> Nullable<Integer>;
    }
}

const NAME: &str = "bench:section";
const TIMEOUT: i32 = 10;
static SECONDS: u32 = TIMEOUT.unsigned_abs();

/// One way to write a section.
pub struct Contender {
    pub title: &'static str,
    /// How many sections make one measurement: around a millisecond, which others on the machine seldom interrupt.
    pub batch: u64,
    /// Runs so many sections, and tells how long they took.
    pub sections: Box<dyn FnMut(u64) -> Duration>,
}

impl Contender {
    fn new(title: &'static str, mut section: impl FnMut() + 'static) -> Self {
        let sections = move |count| {
            let start = Instant::now();
            for _ in 0..count {
                section();
            }
            start.elapsed()
        };
        Self { title, batch: 25, sections: Box::new(sections) }
    }
}

/// Where [`all`] has the floor: the least that answers the same questions.
pub const FLOOR: usize = 1;

/// The last is what people write by hand.
pub fn all(url: &str) -> [Contender; 6] {
    [c_client(url), safe_c_client(url), typed(url), with_named_lock(url), reused_named_lock(url), by_hand(url)]
}

fn with_named_lock(url: &str) -> Contender {
    let mut conn = connect(url);
    Contender::new("conn.with_named_lock", move || {
        conn.with_named_lock(NAME, seconds(TIMEOUT), |_| Ok::<_, NamedLockError>(())).unwrap();
    })
}

fn reused_named_lock(url: &str) -> Contender {
    let mut conn = connect(url);
    let lock = NamedLock::new(NAME).unwrap().timeout(seconds(TIMEOUT));
    Contender::new("NamedLock::run, reused", move || {
        lock.run(&mut conn, |_| Ok::<_, NamedLockError>(())).unwrap();
    })
}

#[derive(QueryableByName)]
struct Answer {
    #[diesel(sql_type = Nullable<Integer>)]
    answer: Option<i32>,
}

/// As an application writes it, with both answers read, as it should.
fn by_hand(url: &str) -> Contender {
    let mut conn = connect(url);
    Contender::new("sql_query by hand", move || {
        let acquired: Answer = sql_query("SELECT GET_LOCK(?, ?) AS answer")
            .bind::<Text, _>(NAME)
            .bind::<Integer, _>(TIMEOUT)
            .get_result(&mut conn)
            .unwrap();
        assert_eq!(acquired.answer, Some(1));
        let released: Answer =
            sql_query("SELECT RELEASE_LOCK(?) AS answer").bind::<Text, _>(NAME).get_result(&mut conn).unwrap();
        assert_eq!(released.answer, Some(1));
    })
}

/// Nobody gets an answer from the server with less. With nothing asked that makes a section safe.
fn c_client(url: &str) -> Contender {
    let conn = c_client::Connection::establish(url);
    let mut acquire = conn.prepare(c"SELECT GET_LOCK(?, ?)", &[Parameter::Text(NAME), Parameter::Seconds(&SECONDS)]);
    let mut release = conn.prepare(c"SELECT RELEASE_LOCK(?)", &[Parameter::Text(NAME)]);
    Contender::new("C client, bare", move || {
        assert_eq!(acquire.ask(), [Some(1)]);
        assert_eq!(release.ask(), [Some(1)]);
    })
}

/// With the very statements of this crate: whether the session has held the lock before, which session it is, and whether it
/// holds the lock still.
fn safe_c_client(url: &str) -> Contender {
    use Parameter::{Binary, Seconds, Session};

    let conn = c_client::Connection::establish(url);
    let session: &Cell<i64> = Box::leak(Box::new(Cell::new(0)));
    let [acquire, release] = statements(url);
    let mut acquire = conn.prepare(&acquire, &[Binary(NAME), Binary(NAME), Seconds(&SECONDS), Binary(NAME)]);
    let mut release = conn.prepare(&release, &[Session(session), Binary(NAME), Binary(NAME)]);
    Contender::new("C client, same questions", move || {
        let [granted, id] = acquire.ask();
        assert_eq!(granted, Some(1));
        session.set(id.expect("the session's id"));
        assert_eq!(release.ask(), [Some(1), None]);
    })
}

/// What this crate sends for a section.
fn statements(url: &str) -> [CString; 2] {
    let sent = Arc::new(Mutex::new(Vec::new()));
    let mut conn = connect(url);
    let noted = Arc::clone(&sent);
    conn.set_instrumentation(move |event: InstrumentationEvent<'_>| {
        if let InstrumentationEvent::StartQuery { query, .. } = event {
            let query = query.to_string();
            let (sql, _binds) = query.split_once(" -- binds:").unwrap();
            noted.lock().unwrap().push(CString::new(sql).unwrap());
        }
    });
    conn.with_named_lock(NAME, seconds(TIMEOUT), |_| Ok::<_, NamedLockError>(())).unwrap();
    let sent = sent.lock().unwrap().clone();
    sent.try_into().expect("two statements")
}

/// Diesel's own least: typed queries, which it caches. With nothing asked that makes a section safe.
fn typed(url: &str) -> Contender {
    let mut conn = connect(url);
    Contender::new("Diesel's typed queries", move || {
        assert_eq!(select(sql::get_lock(NAME, TIMEOUT)).get_result(&mut conn), Ok(Some(1)));
        assert_eq!(select(sql::release_lock(NAME)).get_result(&mut conn), Ok(Some(1)));
    })
}

fn connect(url: &str) -> MysqlConnection {
    MysqlConnection::establish(url).unwrap()
}

fn seconds(seconds: i32) -> Duration {
    Duration::from_secs(seconds.unsigned_abs().into())
}
