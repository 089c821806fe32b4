//! The twelve processes, and what is to be seen of them.

use std::{
    env,
    error::Error,
    process::{Child, Command},
    thread,
    time::{Duration, Instant},
};

use diesel::{connection::SimpleConnection, prelude::*, sql_types::Text};
use test_server::Server;

use crate::{PAGES_EACH, PROCESSES, Page, RENDERERS, RENDERING, pages, server_clock, timeline};

const PATIENCE: Duration = Duration::from_secs(30);

pub fn run() -> Result<(), Box<dyn Error>> {
    let server = Server::shared();
    let permit = RENDERERS.permit();
    let (count, name) = (RENDERERS.count(), &permit.names()[0]);
    println!("{PROCESSES} processes, {count} permits: `{name}` of a {} server, {}", server.product(), server.version());
    let mut conn = MysqlConnection::establish(server.url())?;
    conn.batch_execute(
        "DROP TABLE IF EXISTS diesel_named_lock_permits;
         CREATE TABLE diesel_named_lock_permits (
             process INT, asked BIGINT, entered BIGINT NOT NULL, `left` BIGINT, permit VARCHAR(64) NOT NULL,
             PRIMARY KEY (process, asked)
         )",
    )?;
    let outcome = kill_one_of_the_processes(&mut conn, server.url()).and_then(|killed| check(&mut conn, killed));
    conn.batch_execute("DROP TABLE diesel_named_lock_permits")?;
    outcome
}

fn kill_one_of_the_processes(conn: &mut MysqlConnection, url: &str) -> Result<i32, Box<dyn Error>> {
    let start =
        |process: i32| Command::new(env::current_exe()?).arg(process.to_string()).env("DATABASE_URL", url).spawn();
    let mut processes = (1..=PROCESSES).map(start).collect::<Result<Vec<_>, _>>()?;
    let killed = kill_a_holder(conn, &mut processes);
    // All of them, before the table goes away.
    let ends = processes.iter_mut().map(Child::wait).collect::<Result<Vec<_>, _>>()?;
    let killed = killed?;
    match (1..).zip(ends).all(|(process, end)| end.success() || process == killed) {
        true => Ok(killed),
        false => Err("a process failed".into()),
    }
}

/// In the middle of a page.
fn kill_a_holder(conn: &mut MysqlConnection, processes: &mut [Child]) -> Result<i32, Box<dyn Error>> {
    let start = Instant::now();
    let rendered = pages::table.select(Page::as_select()).order(pages::entered.desc());
    while start.elapsed() < PATIENCE {
        let newest = rendered.filter(pages::left.is_null()).first(conn).optional()?;
        if let Some(page) = newest {
            thread::sleep(RENDERING / 3);
            // Before the kill, after which the next one may come at once.
            let now = server_clock(conn)?;
            processes[page.process as usize - 1].kill()?;
            let left = pages::table.filter(pages::process.eq(page.process)).filter(pages::left.is_null());
            diesel::update(left).set(pages::left.eq(now)).execute(conn)?;
            return Ok(page.process);
        }
        thread::sleep(Duration::from_millis(1));
    }
    Err("nobody holds a permit".into())
}

diesel::define_sql_function! { fn is_used_lock(name: Text) -> Nullable<Unsigned<BigInt>>; }

fn check(conn: &mut MysqlConnection, killed: i32) -> Result<(), Box<dyn Error>> {
    let rendered: Vec<Page> = pages::table.select(Page::as_select()).order(pages::entered).load(conn)?;
    timeline::print(&rendered, killed);
    let beside = |page: &Page| {
        let is_beside =
            |other: &&Page| other.entered <= page.entered && other.left.is_some_and(|left| left > page.entered);
        rendered.iter().filter(is_beside).count()
    };
    let most = rendered.iter().map(beside).max().unwrap_or(0);
    let mut left_over = 0;
    for page in &rendered {
        let holder: Option<u64> = diesel::select(is_used_lock(&page.permit)).get_result(conn)?;
        left_over += usize::from(holder.is_some());
    }
    let pages_of_others = rendered.iter().filter(|page| page.process != killed).count();
    let checks = [
        ("three processes rendered at once, and never more", most == RENDERERS.count() as usize),
        ("all others rendered all of their pages", pages_of_others as i32 == (PROCESSES - 1) * PAGES_EACH),
        ("no permit was left", left_over == 0),
    ];
    for (claim, holds) in checks {
        println!("{} {claim}", if holds { "yes:" } else { "NO, NOT TRUE:" });
    }
    if checks.iter().all(|(_, holds)| *holds) { Ok(()) } else { Err("the permits were not kept".into()) }
}
