//! Makes the connections of a worker, each with a witness, and closes none that is healthy by itself.

use std::{thread, time::Duration};

use diesel::{
    Connection, MysqlConnection,
    prelude::*,
    r2d2::{self, ManageConnection, R2D2Connection},
    result::{ConnectionError, QueryResult},
    sql_query,
    sql_types::{BigInt, Unsigned},
};

use crate::{message::Message, witness::Witness};

/// Like Diesel's `ConnectionManager`, but only this crate can make the pool close a healthy connection.
///
/// Diesel's closes one if `KILL QUERY` strikes its test at check-out, or if a thread that panics checks it in.
#[derive(Debug)]
pub struct Manager {
    url: String,
}

pub const PING: &str = "SELECT 1";

#[derive(QueryableByName)]
struct Session {
    #[diesel(sql_type = Unsigned<BigInt>)]
    id: u64,
}

impl Manager {
    pub fn new(url: &str) -> Self {
        Self { url: url.to_owned() }
    }
}

impl ManageConnection for Manager {
    type Connection = MysqlConnection;
    type Error = r2d2::Error;

    fn connect(&self) -> Result<MysqlConnection, r2d2::Error> {
        let (conn, id) = connect(&self.url).map_err(r2d2::Error::ConnectionError)?;
        Message::Opened(id).send();
        Ok(conn)
    }

    fn is_valid(&self, conn: &mut MysqlConnection) -> Result<(), r2d2::Error> {
        // Not Diesel's `ping`, which is a cached statement: struck, it would hang at its next use with libmariadb.
        until_answered(|| sql_query(PING).execute(conn)).map(drop).map_err(r2d2::Error::QueryError)
    }

    fn has_broken(&self, conn: &mut MysqlConnection) -> bool {
        conn.is_broken()
    }
}

/// With a witness. Also its session.
pub fn connect(url: &str) -> Result<(MysqlConnection, u64), ConnectionError> {
    let mut conn = MysqlConnection::establish(url)?;
    let session = until_answered(|| sql_query("SELECT CONNECTION_ID() AS id").get_result::<Session>(&mut conn));
    let Session { id } = session.map_err(ConnectionError::CouldntSetupConfiguration)?;
    conn.set_instrumentation(Witness::new(id, url));
    Ok((conn, id))
}

/// `KILL QUERY` may strike some in a row.
pub fn until_answered<T>(mut ask: impl FnMut() -> QueryResult<T>) -> QueryResult<T> {
    const ATTEMPTS: u32 = 30;
    const AT_ONCE: u32 = 3;

    let mut answer = ask();
    for failed in 1..ATTEMPTS {
        if answer.is_ok() {
            break;
        }
        thread::sleep(if failed < AT_ONCE { Duration::ZERO } else { Duration::from_millis(1) });
        answer = ask();
    }
    answer
}
