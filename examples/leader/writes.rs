//! What a leader writes, each time checked against its term.

#![allow(missing_docs, reason = "for what Diesel's macros make")]

use diesel::{dsl::sql, mysql::Mysql, prelude::*, sql_types::BigInt};
use diesel_named_lock::{
    fence::{self, FenceError},
    leadership::Leadership,
};

use crate::LOCK;

diesel::table! {
    writes (at) {
        at -> BigInt,
        process -> Integer,
        term -> BigInt,
    }
}

/// What a leader does, at a time of the server's clock in microseconds: one clock for all processes.
#[derive(Clone, Copy, Queryable, Selectable, Insertable)]
#[diesel(table_name = writes, check_for_backend(Mysql))]
pub struct Write {
    pub at: i64,
    pub process: i32,
    pub term: i64,
}

/// Refused once another leader was elected, whatever this one knows of it.
pub fn write(
    process: i32,
    leadership: &Leadership<MysqlConnection>,
    writer: &mut MysqlConnection,
) -> Result<(), FenceError> {
    let term = leadership.term().expect("the table of the fencing tokens is there");
    writer.transaction(|conn| {
        fence::check(conn, LOCK, term)?;
        let write = Write { at: server_clock(conn)?, process, term: term.get() as i64 };
        diesel::insert_into(writes::table).values(write).execute(conn)?;
        Ok(())
    })
}

pub fn server_clock(conn: &mut MysqlConnection) -> QueryResult<i64> {
    diesel::select(sql::<BigInt>("CAST(UNIX_TIMESTAMP(SYSDATE(6)) * 1000000 AS SIGNED)")).get_result(conn)
}
