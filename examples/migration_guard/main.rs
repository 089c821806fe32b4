//! Six processes of an application start at the same moment on an empty database, and each wants to migrate it: once with
//! Diesel's own method, once with the one that locks.
//!
//! `examples/run migration_guard` runs it on a private server, started for it; with `DATABASE_URL` set, on that one.

use std::{
    env,
    error::Error,
    fmt::Display,
    process::{Command, Stdio},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use diesel::{connection::SimpleConnection, migration::MigrationVersion, prelude::*};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use diesel_named_lock::migration::MigrationExt;
use test_server::Server;
use url::Url;

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("examples/migration_guard/migrations");
const PROCESSES: usize = 6;
const DATABASE: &str = "diesel_named_lock_migration_guard";

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    match (arguments.next(), arguments.next()) {
        (Some(mode), Some(start)) => migrate(&mode, Duration::from_millis(start.parse()?)),
        _ => start_and_check(),
    }
}

/// What each process of the application does.
fn migrate(mode: &str, start: Duration) -> Result<(), Box<dyn Error>> {
    let mut conn = MysqlConnection::establish(&env::var("DATABASE_URL")?)?;
    thread::sleep(start.saturating_sub(now()?));
    match mode {
        "locked" => report(conn.run_pending_migrations_locked(MIGRATIONS, Duration::from_secs(60))),
        _ => report(conn.run_pending_migrations(MIGRATIONS)),
    }
    Ok(())
}

fn report(outcome: Result<Vec<MigrationVersion<'_>>, impl Display>) {
    match outcome {
        Ok(ran) if ran.is_empty() => println!("ran nothing"),
        Ok(ran) => println!("ran {}", ran.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
        Err(error) => println!("FAILED: {error}"),
    }
}

fn now() -> Result<Duration, Box<dyn Error>> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?)
}

fn start_and_check() -> Result<(), Box<dyn Error>> {
    let server = Server::shared();
    println!(
        "{PROCESSES} processes at once, on an empty database of a {} server, {}",
        server.product(),
        server.version()
    );
    println!("\nconn.run_pending_migrations(MIGRATIONS)");
    start_all(server, "bare")?;
    println!("\nconn.run_pending_migrations_locked(MIGRATIONS, timeout)");
    let mut outcomes = start_all(server, "locked")?;

    outcomes.sort();
    let idle = outcomes.iter().filter(|outcome| *outcome == "ran nothing").count();
    if idle != PROCESSES - 1 || outcomes[0].matches(',').count() != 2 {
        return Err("with the lock, it was not one process that ran all three migrations, or one failed".into());
    }
    println!("\nyes: with the lock, one process ran all three migrations, and none failed");
    Ok(())
}

/// What each of them said.
fn start_all(server: &Server, mode: &str) -> Result<Vec<String>, Box<dyn Error>> {
    let mut conn = MysqlConnection::establish(server.url())?;
    conn.batch_execute(&format!("DROP DATABASE IF EXISTS {DATABASE}; CREATE DATABASE {DATABASE}"))?;
    let mut url = Url::parse(server.url())?;
    url.set_path(DATABASE);

    let start = (now()? + Duration::from_millis(300)).as_millis().to_string();
    let start_one = |_| {
        let mut command = Command::new(env::current_exe()?);
        command.args([mode, &start]).env("DATABASE_URL", url.as_str()).stdout(Stdio::piped()).spawn()
    };
    let processes = (0..PROCESSES).map(start_one).collect::<Result<Vec<_>, _>>()?;
    let mut outcomes = Vec::new();
    for (number, process) in processes.into_iter().enumerate() {
        let output = process.wait_with_output()?;
        outcomes.push(String::from_utf8(output.stdout)?.trim().to_owned());
        println!("  process {}: {}", number + 1, outcomes[number]);
    }
    conn.batch_execute(&format!("DROP DATABASE {DATABASE}"))?;
    Ok(outcomes)
}
