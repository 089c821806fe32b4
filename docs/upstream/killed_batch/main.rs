//! One `KILL QUERY` into a batch of statements: sometimes, the client then waits for an answer that never comes.

use std::{env, error::Error, process, sync::mpsc, thread, time::Duration};

use diesel::{connection::SimpleConnection, define_sql_function, prelude::*, sql_query, sql_types};

define_sql_function! { fn connection_id() -> sql_types::Unsigned<sql_types::BigInt>; }

#[derive(QueryableByName)]
struct Session {
    #[diesel(sql_type = sql_types::Text)]
    state: String,
}

const ATTEMPTS: u64 = 500;

fn main() -> Result<(), Box<dyn Error>> {
    let url = env::var("DATABASE_URL")?;
    let mut killer = MysqlConnection::establish(&url)?;
    killer.batch_execute("CREATE TABLE IF NOT EXISTS killed_batch (id INT) ENGINE = InnoDB")?;
    let (mut errors, mut too_late) = (0, 0);
    for attempt in 0..ATTEMPTS {
        let mut conn = MysqlConnection::establish(&url)?;
        let id: u64 = diesel::select(connection_id()).get_result(&mut conn)?;
        let (answers, answer) = mpsc::channel();
        thread::spawn(move || {
            let outcome = conn.batch_execute(&"INSERT INTO killed_batch VALUES (1);\n".repeat(200));
            let _ = answers.send((outcome, conn));
        });
        thread::sleep(Duration::from_micros(2000 + attempt * 37));
        killer.batch_execute(&format!("KILL QUERY {id}"))?;
        match answer.recv_timeout(Duration::from_secs(10)) {
            Ok((Ok(()), _)) => too_late += 1,
            Ok((Err(_), _)) => errors += 1,
            Err(_) => {
                let query = format!(
                    "SELECT CONCAT(COMMAND, ' for ', TIME, ' s') AS state FROM information_schema.PROCESSLIST WHERE ID = {id}"
                );
                let Session { state } = sql_query(query).get_result(&mut killer)?;
                println!("attempt {attempt}: no answer within 10 s; the server says of the session: {state}");
                println!("before that, {errors} batches failed, and {too_late} were done");
                process::exit(1);
            }
        }
    }
    println!("{errors} of {ATTEMPTS} batches failed, {too_late} were done, none hung");
    Ok(())
}
