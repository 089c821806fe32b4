//! The tables whose order the server decides.

use diesel::{
    MysqlConnection,
    connection::{LoadConnection, SimpleConnection},
    mysql::Mysql,
    prelude::*,
    query_builder::{QueryFragment, QueryId},
    sql_query,
    sql_types::{BigInt, Text},
};

use crate::{
    history::History,
    subject::{SHARED, Share},
};

/// The locks, and their counters.
pub const NAMES: [&str; 5] = ["torture:a", "torture:b", "torture:c", "torture:d", LEADER];

/// Who leads. Nobody else takes this lock; sections are over the [others](SECTIONS).
pub const LEADER: &str = "torture:leader";
pub const SECTIONS: usize = NAMES.len() - 1;

/// As this crate ships it.
const FENCES: &str = include_str!("../../migrations/00000000000001-namedlock_create_named_lock_fences/up.sql");

diesel::table! {
    events (id) {
        id -> Unsigned<BigInt>,
        section -> Unsigned<BigInt>,
        name -> Text,
        connection -> Unsigned<BigInt>,
        kind -> Text,
        weight -> Unsigned<Integer>,
    }
}

diesel::table! {
    writes (id) {
        id -> Unsigned<BigInt>,
        section -> Unsigned<BigInt>,
        name -> Text,
        found -> BigInt,
        value -> BigInt,
    }
}

diesel::table! {
    counters (name) {
        name -> Text,
        value -> BigInt,
        section -> Unsigned<BigInt>,
    }
}

diesel::define_sql_function! { fn connection_id() -> Unsigned<BigInt>; }

/// MyISAM knows no transactions: an event is there at once for all, and no roll-back takes it away.
const TABLES: &str = "
    DROP TABLE IF EXISTS events, writes, counters, named_lock_fences;
    CREATE TABLE events (
        id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY,
        section BIGINT UNSIGNED NOT NULL, name VARCHAR(16) NOT NULL,
        connection BIGINT UNSIGNED NOT NULL, kind VARCHAR(8) NOT NULL, weight INT UNSIGNED NOT NULL
    ) ENGINE = MyISAM;
    CREATE TABLE writes (
        id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY,
        section BIGINT UNSIGNED NOT NULL, name VARCHAR(16) NOT NULL,
        found BIGINT NOT NULL, value BIGINT NOT NULL
    ) ENGINE = InnoDB;
    CREATE TABLE counters (
        name VARCHAR(16) PRIMARY KEY, value BIGINT NOT NULL, section BIGINT UNSIGNED NOT NULL
    ) ENGINE = InnoDB;
    CREATE TRIGGER keep_writes AFTER UPDATE ON counters FOR EACH ROW
        INSERT INTO writes (section, name, found, value) VALUES (NEW.section, NEW.name, OLD.value, NEW.value);
";

pub fn create(conn: &mut MysqlConnection) -> QueryResult<()> {
    conn.batch_execute(TABLES)?;
    conn.batch_execute(FENCES)?;
    for name in NAMES.into_iter().chain([SHARED]) {
        let row = (counters::name.eq(name), counters::value.eq(0), counters::section.eq(0));
        diesel::insert_into(counters::table).values(row).execute(conn)?;
    }
    Ok(())
}

/// With the connection id as the server knows it, not as we believe it.
pub fn event<'a>(section: u64, share: Share, kind: &'a str) -> impl QueryFragment<Mysql> + QueryId + Send + 'a {
    let row = (
        events::section.eq(section),
        events::name.eq(share.name),
        events::connection.eq(connection_id()),
        events::kind.eq(kind),
        events::weight.eq(share.weight),
    );
    diesel::insert_into(events::table).values(row)
}

/// Sets the counter of a lock.
pub fn update(name: &str, section: u64, value: i64) -> impl QueryFragment<Mysql> + QueryId + Send + '_ {
    diesel::update(counters::table.find(name)).set((counters::value.eq(value), counters::section.eq(section)))
}

pub fn insert_event<C: LoadConnection<Backend = Mysql>>(
    conn: &mut C,
    section: u64,
    share: Share,
    kind: &str,
) -> QueryResult<()> {
    conn.execute_returning_count(&event(section, share, kind)).map(drop)
}

#[derive(QueryableByName)]
pub struct Value {
    #[diesel(sql_type = BigInt)]
    pub value: i64,
}

pub const READ_COUNTER: &str = "SELECT value FROM counters WHERE name = ?";

/// Not as a cached statement: killed after its columns were announced, it would hang at its next use with libmariadb.
pub fn read_counter<C: LoadConnection<Backend = Mysql>>(conn: &mut C, name: &str) -> QueryResult<i64> {
    let row: Value = sql_query(READ_COUNTER).bind::<Text, _>(name).get_result(conn)?;
    Ok(row.value)
}

pub fn write_counter<C: LoadConnection<Backend = Mysql>>(
    conn: &mut C,
    name: &str,
    section: u64,
    value: i64,
) -> QueryResult<()> {
    match conn.execute_returning_count(&update(name, section, value))? {
        1 => Ok(()),
        _ => Err(diesel::result::Error::NotFound),
    }
}

/// All rows, in the server's order.
pub fn load(conn: &mut MysqlConnection) -> QueryResult<History> {
    Ok(History {
        events: events::table.order(events::id).load(conn)?,
        writes: writes::table.order(writes::id).load(conn)?,
        counters: counters::table.select((counters::name, counters::value)).load(conn)?,
        ..History::default()
    })
}
