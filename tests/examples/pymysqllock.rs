//! The two programs that stand beside each other in `docs::from_pymysqllock`, on one lock.

use std::{
    env,
    fs::{self, File},
    io,
    path::Path,
    process::{Command, Stdio},
};

use testkit::{
    database::{Database, database},
    world::{assert_free, connect, fresh, number, process_list, wait_until},
};

use crate::program::{Program, example};

const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/from_pymysqllock.py");

/// Three of each.
const IN_TURN: [&str; 6] = ["Python", "Rust", "Python", "Rust", "Python", "Rust"];

/// They write to one file, which shows who was inside when.
#[test]
fn pymysqllock_and_this_crate_wait_for_each_other_and_never_overlap() {
    let (database, name, folder) = (database(), fresh("pymysqllock"), tempfile::tempdir().unwrap());
    let log = folder.path().join("log");
    let (output, read) = (File::create(&log).unwrap(), || fs::read_to_string(&log).unwrap());

    let mut programs = Vec::new();
    for (before, language) in IN_TURN.into_iter().enumerate() {
        let mut command = if language == "Python" { python() } else { example("from_pymysqllock") };
        command.arg(&name).env("DATABASE_URL", database.tcp_url());
        programs.push(start(&mut command, &output));
        wait_until(&format!("{language} to begin or to wait"), || match before {
            0 => !read().is_empty(),
            _ => waiting(&database) == before,
        });
    }

    // The servers grant a lock in the order in which it was asked for.
    let mut expected = String::new();
    for (before, (language, program)) in IN_TURN.into_iter().zip(&mut programs).enumerate() {
        expected += &format!("{language} begins\n");
        wait_until(&format!("{expected:?}"), || read().len() >= expected.len());
        assert_eq!(read(), expected);
        assert_eq!(waiting(&database), IN_TURN.len() - 1 - before, "all others wait");
        program.close_input();
        assert_eq!(program.status(), 0, "{language}: {}", program.stderr);
        expected += &format!("{language} ends\n");
    }
    assert_eq!(read(), expected);
    assert_free(&name);
}

fn python() -> Command {
    let test = env::current_exe().unwrap();
    let target = test.ancestors().nth(3).expect("the folder above `debug/deps`");
    let python = target.join("interop/bin/python");
    assert!(Path::new(&python).exists(), "there is no {}: `tests/run` installs it", python.display());
    let mut command = Command::new(python);
    command.args(["-W", "ignore", PROGRAM]);
    command
}

fn start(command: &mut Command, output: &File) -> Program {
    let output = output.try_clone().unwrap();
    let mut process = command.stdin(Stdio::piped()).stdout(output).stderr(Stdio::piped()).spawn().unwrap();
    let stderr = process.stderr.take().expect("a pipe");
    Program::new(process, io::empty(), stderr)
}

/// How many sessions of this database wait for a named lock.
fn waiting(database: &Database) -> usize {
    let query = format!(
        "SELECT COUNT(*) AS number FROM {} WHERE DB = '{}' AND STATE = 'User lock'",
        process_list(),
        database.name
    );
    number(&mut connect(), &query).expect("a number") as usize
}
