//! `run --fenced`.

use testkit::{
    database::{Database, database},
    program::Finished,
    world::{assert_free, fresh},
};

use crate::stage::*;

fn run(database: &Database, name: &str, options: &[&str]) -> Finished {
    let shows = ["--", "sh", "-c", "echo token ${NAMED_LOCK_TOKEN-none}"];
    let mut command = tool_at(&database.url, &[&["run", "--name", name], options, &shows].concat());
    command.env("NAMED_LOCK_TOKEN", "of somebody else");
    finish(command)
}

#[test]
fn the_command_gets_a_token_that_grows_and_without_the_option_none() {
    let (database, name) = (database(), fresh("fenced"));
    init(&database, &["--fence"]);
    for expected in ["token 1\n", "token 2\n"] {
        let ran = run(&database, &name, &["--fenced"]);
        assert_eq!((ran.status, &*ran.stdout), (0, expected), "{}", ran.stderr);
    }
    assert_eq!(run(&database, &name, &[]).stdout, "token none\n");
}

#[test]
fn without_the_table_the_command_does_not_run_and_the_lock_is_free() {
    let (database, name) = (database(), fresh("unfenced"));
    let refused = run(&database, &name, &["--fenced"]);
    assert_eq!((refused.status, &*refused.stdout), (69, ""));
    assert_one_sentence(&refused.stderr, "`named-lock init --fence`");
    assert_free(&name);
}
