//! With libmariadb, a cached prepared statement that has failed once hangs when it is executed again.

use std::{env, error::Error, process, sync::mpsc, thread, time::Duration};

use diesel::{define_sql_function, prelude::*, sql_types::Double};

define_sql_function! { fn exp(x: Double) -> Double; }

/// A typed query: Diesel prepares it once for each connection.
fn e_to_the(conn: &mut MysqlConnection, x: f64) -> QueryResult<f64> {
    diesel::select(exp(x)).get_result(conn)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut conn = MysqlConnection::establish(&env::var("DATABASE_URL")?)?;
    let (answers, answer) = mpsc::channel();
    thread::spawn(move || {
        // The server sends the columns of the result, and then error 1690: out of range.
        for x in [1.0, 1000.0, 1.0] {
            let _ = answers.send(format!("e^{x}: {:?}", e_to_the(&mut conn, x)));
        }
    });
    for _ in 0..3 {
        match answer.recv_timeout(Duration::from_secs(5)) {
            Ok(line) => println!("{line}"),
            Err(_) => {
                println!("no answer within 5 s");
                process::exit(1);
            }
        }
    }
    Ok(())
}
