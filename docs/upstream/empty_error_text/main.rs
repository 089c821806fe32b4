//! What Diesel makes of errors whose text is empty. The last line is a segmentation fault.

use std::{env, error::Error};

use diesel::{connection::SimpleConnection, define_sql_function, prelude::*, sql_query, sql_types::Double};

define_sql_function! { fn exp(x: Double) -> Double; }

fn main() -> Result<(), Box<dyn Error>> {
    let conn = &mut MysqlConnection::establish(&env::var("DATABASE_URL")?)?;

    // An error of the application's own, without a text.
    println!("SIGNAL: {:?}", conn.batch_execute("SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = ''"));
    conn.batch_execute(
        "DROP PROCEDURE IF EXISTS refuse;
         CREATE PROCEDURE refuse() SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = ''",
    )?;
    println!("CALL of a procedure that refuses: {:?}", sql_query("CALL refuse()").execute(conn));

    // In UTF-16, the first byte of an English text is 0, so that every text ends before it begins.
    conn.batch_execute("SET character_set_results = utf16")?;
    println!("DROP of an unknown table: {:?}", conn.batch_execute("DROP TABLE no_such_table"));
    println!("e^1000: {:?}", diesel::select(exp(1000.0)).get_result::<f64>(conn));
    Ok(())
}
