//! Twelve processes render pages, at most three at a time on all machines. One is killed while it renders.
//!
//! `examples/run permits` runs it on a private server, started for it; with `DATABASE_URL` set, it runs on that one.

#![allow(missing_docs, reason = "for what Diesel's macros make")]

use std::{env, error::Error, thread, time::Duration};

use diesel::{dsl::sql, mysql::Mysql, prelude::*, sql_types::BigInt};
use diesel_named_lock::permits::Permits;

mod demonstration;
mod timeline;

static RENDERERS: Permits = Permits::from_static("example", 3);

const PROCESSES: i32 = 12;
const PAGES_EACH: i32 = 2;
const RENDERING: Duration = Duration::from_millis(60);

diesel::table! {
    diesel_named_lock_permits (process, asked) {
        process -> Integer,
        asked -> BigInt,
        entered -> BigInt,
        left -> Nullable<BigInt>,
        permit -> Text,
    }
}
use diesel_named_lock_permits as pages;

/// One page. Its times are the server's, in microseconds: one clock for all processes.
#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = pages, check_for_backend(Mysql))]
struct Page {
    process: i32,
    asked: i64,
    entered: i64,
    left: Option<i64>,
    permit: String,
}

fn main() -> Result<(), Box<dyn Error>> {
    match env::args().nth(1) {
        None => demonstration::run(),
        Some(process) => render_pages(process.parse()?),
    }
}

/// What an application does. (Here, each of the twelve processes.)
fn render_pages(process: i32) -> Result<(), Box<dyn Error>> {
    let mut conn = MysqlConnection::establish(&env::var("DATABASE_URL")?)?;
    for _ in 0..PAGES_EACH {
        let asked = server_clock(&mut conn)?;
        // A guard, since it says which permit it is.
        let mut guard = RENDERERS.permit().acquire(conn)?;
        let permit = guard.names()[0].to_string();
        let entered = server_clock(&mut guard)?;
        let page = Page { process, asked, entered, left: None, permit };
        diesel::insert_into(pages::table).values(page).execute(&mut *guard)?;
        thread::sleep(RENDERING);
        let page = pages::table.find((process, asked));
        let left = server_clock(&mut guard)?;
        diesel::update(page).set(pages::left.eq(left)).execute(&mut *guard)?;
        conn = guard.release()?;
    }
    Ok(())
}

fn server_clock(conn: &mut MysqlConnection) -> QueryResult<i64> {
    diesel::select(sql::<BigInt>("CAST(UNIX_TIMESTAMP(SYSDATE(6)) * 1000000 AS SIGNED)")).get_result(conn)
}
