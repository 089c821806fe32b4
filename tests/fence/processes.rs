//! Tokens of several processes at once, one of which is killed.

use std::{
    env,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use diesel::{connection::SimpleConnection, prelude::*, sql_query, sql_types::BigInt};
use diesel_named_lock::fence::FenceError;

use crate::{stage::*, world::*};

trials![tokens_of_several_processes_go_up_in_the_order_of_their_sections];

/// The first argument of such a process; the next are the database's URL and the lock's name.
const PROCESS: &str = "--process";
const SECTIONS_EACH: usize = 25;

pub fn is_wanted() -> bool {
    env::args().nth(1).as_deref() == Some(PROCESS)
}

/// Appends the token of each section to a table.
pub fn main() {
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    let arguments: Vec<String> = env::args().collect();
    let mut conn = MysqlConnection::establish(&arguments[2]).expect("a connection");
    for _ in 0..SECTIONS_EACH {
        let section: Result<_, FenceError> = conn.with_fenced_lock(&arguments[3], SOON, |conn, token| {
            let insert = sql_query("INSERT INTO sections (token) VALUES (?)");
            Ok(insert.bind::<BigInt, _>(token.get() as i64).execute(conn)?)
        });
        section.expect("a section");
        println!("one more");
    }
}

fn start(database: &Database, name: &str) -> Child {
    Command::new(env::current_exe().expect("this program"))
        .args([PROCESS, &database.url, name])
        .stdout(Stdio::piped())
        .spawn()
        .expect("a process")
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
    let mut processes: Vec<Child> = (0..6).map(|_| start(&database, &name)).collect();

    let mut killed = processes.pop().expect("a process");
    let mut lines = BufReader::new(killed.stdout.take().expect("its output")).lines();
    lines.nth(4).expect("some sections").expect("a line");
    killed.kill().and_then(|()| killed.wait()).expect("its end");
    for mut process in processes {
        // Its output has room in the pipe.
        assert!(process.wait().expect("its end").success());
    }

    let rows: Vec<Row> = sql_query("SELECT token FROM sections ORDER BY id").load(&mut conn).unwrap();
    assert!(rows.len() >= 5 * SECTIONS_EACH + 5, "{}", rows.len());
    assert!(rows.windows(2).all(|pair| pair[0].token < pair[1].token), "a token came late, or twice");
    assert_free_soon(&name);
    assert!(token(&mut conn, &name) > rows.last().expect("a row").token as u64);
}
