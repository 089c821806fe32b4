//! The ways to write an uncontended section, each on a warm connection of its own.

use std::time::{Duration, Instant};

use diesel::{
    MysqlConnection, QueryableByName,
    prelude::*,
    select, sql_query,
    sql_types::{Integer, Nullable, Text},
};
use diesel_named_lock::{NamedLock, NamedLockError, NamedLockExt};

use crate::c_client;

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

/// The first is the floor, the last what people write by hand.
pub fn all(url: &str) -> [Contender; 5] {
    [c_client(url), typed(url), with_named_lock(url), reused_named_lock(url), by_hand(url)]
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

/// The floor: nobody gets an answer from the server with less.
fn c_client(url: &str) -> Contender {
    let conn = c_client::Connection::establish(url);
    let mut acquire = conn.prepare(c"SELECT GET_LOCK(?, ?)", NAME, Some(TIMEOUT));
    let mut release = conn.prepare(c"SELECT RELEASE_LOCK(?)", NAME, None);
    Contender::new("C client", move || {
        assert_eq!(acquire.ask(), 1);
        assert_eq!(release.ask(), 1);
    })
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
