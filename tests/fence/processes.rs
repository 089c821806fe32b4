//! Tokens of several processes at once, one of which is killed.

use diesel::{connection::SimpleConnection, prelude::*, sql_query, sql_types::BigInt};
use diesel_named_lock::fence::FenceError;
use testkit::{
    child::{self, Child},
    world::*,
};

use crate::stage::*;

testkit::trials![tokens_of_several_processes_go_up_in_the_order_of_their_sections];

const SECTIONS_EACH: usize = 25;

/// In a child: appends the token of each section to a table.
pub fn main(arguments: &[String]) {
    let mut conn = MysqlConnection::establish(&arguments[0]).expect("a connection");
    for _ in 0..SECTIONS_EACH {
        let section: Result<_, FenceError> = conn.with_fenced_lock(&arguments[1], SOON, |conn, token| {
            let insert = sql_query("INSERT INTO sections (token) VALUES (?)");
            Ok(insert.bind::<BigInt, _>(token.get() as i64).execute(conn)?)
        });
        section.expect("a section");
        child::say("one more");
    }
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    token: i64,
}

fn tokens_of_several_processes_go_up_in_the_order_of_their_sections() {
    let (database, name) = (database_with_fences(), fresh("processes"));
    let mut conn = database.connect();
    conn.batch_execute("CREATE TABLE sections (id BIGINT AUTO_INCREMENT PRIMARY KEY, token BIGINT NOT NULL)").unwrap();
    let mut processes: Vec<Child> = (0..6).map(|_| Child::start(&[&database.url, &name], &[])).collect();

    let mut killed = processes.pop().expect("a process");
    (0..5).for_each(|_| assert_eq!(killed.hear(), "one more"));
    killed.kill();
    for mut process in processes {
        // Its output has room in the pipe.
        assert!(process.wait().success());
    }

    let rows: Vec<Row> = sql_query("SELECT token FROM sections ORDER BY id").load(&mut conn).unwrap();
    assert!(rows.len() >= 5 * SECTIONS_EACH + 5, "{}", rows.len());
    assert!(rows.windows(2).all(|pair| pair[0].token < pair[1].token), "a token came late, or twice");
    assert_free_soon(&name);
    assert!(token(&mut conn, &name) > rows.last().expect("a row").token as u64);
}
