//! How many requests an empty transaction of Diesel is, counted by the server.

use std::{env, error::Error};

use diesel::{connection::SimpleConnection, prelude::*, sql_query, sql_types::Text};

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text, column_name = Value)]
    value: String,
}

/// The server's counter of requests of this session. Prepares don't count.
fn questions(conn: &mut MysqlConnection) -> QueryResult<i64> {
    let row: Row = sql_query("SHOW SESSION STATUS LIKE 'Questions'").get_result(conn)?;
    Ok(row.value.parse().expect("a number"))
}

fn count(conn: &mut MysqlConnection, what: &str, work: fn(&mut MysqlConnection) -> QueryResult<()>) -> QueryResult<()> {
    let before = questions(conn)?;
    work(conn)?;
    // Without the question itself.
    println!("{what}: {} requests", questions(conn)? - before - 1);
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let conn = &mut MysqlConnection::establish(&env::var("DATABASE_URL")?)?;
    count(conn, "nothing", |_| Ok(()))?;
    count(conn, "one statement by sql_query", |conn| sql_query("DO 0").execute(conn).map(drop))?;
    count(conn, "one statement by batch_execute", |conn| conn.batch_execute("DO 0"))?;
    count(conn, "an empty transaction", |conn| conn.transaction(|_| Ok(())))?;
    Ok(())
}
