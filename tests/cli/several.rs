//! `run --permits`, `--shared` and `--exclusive`.

use testkit::{
    database::database,
    program::Program,
    world::{assert_free, fresh, holder, kill},
};

use crate::{stage::*, terminal::Terminal};

const WAITS: [&str; 4] = ["--", "sh", "-c", "echo ready; read line; exit 0"];

fn start(name: &str, arguments: &[&str]) -> Program {
    Program::start(&mut tool(&[&["run", "--name", name], arguments].concat()))
}

/// Starts a command that runs until its input is closed, and returns when it runs.
#[track_caller]
fn start_running(name: &str, options: &[&str]) -> Program {
    let program = start(name, &[options, &WAITS].concat());
    program.stdout.wait_for("ready\n");
    program
}

/// Whether a command would run now.
#[track_caller]
fn may_run(name: &str, options: &[&str]) -> bool {
    let ran = start(name, &[options, &["-n", "echo", "ran"]].concat()).finish();
    match ran.status {
        0 => assert_eq!(ran.stdout, "ran\n"),
        75 => {
            assert_eq!(ran.stdout, "");
            assert_one_sentence(&ran.stderr, "was not free within");
        }
        other => panic!("{other}: {}", ran.stderr),
    }
    ran.status == 0
}

#[track_caller]
fn end(mut program: Program) {
    program.close_input();
    assert_eq!(program.status(), 0, "{}", program.stderr);
}

#[test]
fn as_many_commands_run_at_once_as_there_are_permits() {
    let name = fresh("permits");
    let permits = &["--permits", "2"];
    let (one, two) = (start_running(&name, permits), start_running(&name, permits));
    assert!(!may_run(&name, permits));
    let three = start(&name, &[&permits[..], &WAITS].concat());
    end(one);
    three.stdout.wait_for("ready\n");
    assert!(!may_run(&name, permits));
    end(two);
    end(three);
    assert!(may_run(&name, permits));
    ["1", "2", "wait"].iter().for_each(|member| assert_free(&format!("{name}:permit#{member}")));
}

#[test]
fn shared_commands_run_beside_each_other_and_an_exclusive_one_alone() {
    for (shared, exclusive) in [("--shared", "--exclusive"), ("-s", "-x")] {
        let name = fresh("shared");
        let (one, two) = (start_running(&name, &[shared]), start_running(&name, &[shared]));
        assert!(may_run(&name, &[shared]) && !may_run(&name, &[exclusive]));
        end(one);
        assert!(!may_run(&name, &[exclusive]));
        end(two);
        let alone = start_running(&name, &[exclusive]);
        assert!(!may_run(&name, &[shared]) && !may_run(&name, &[exclusive]));
        end(alone);
        assert!(may_run(&name, &[shared]) && may_run(&name, &[exclusive]));
    }
}

#[test]
fn a_terminal_shows_who_has_the_permits() {
    let name = fresh("shown");
    let permits = &["--permits", "2"];
    let (one, two) = (start_running(&name, permits), start_running(&name, permits));
    let first = holder(&format!("{name}:permit#1")).expect("a holder");
    let waits = tool(&[&["run", "--name", &name][..], permits, &["echo", "my turn"]].concat());
    let (_, mut program) = Terminal::start(&waits);
    program.stdout.wait_for(&format!("named-lock: waiting for `{name}:permit` for "));
    program.stdout.wait_for(&format!("s or longer by connection {first} ("));
    program.stdout.wait_for(", and by 1 more");
    end(two);
    assert_eq!(program.status(), 0);
    program.stdout.wait_for("my turn");
    end(one);
}

#[test]
fn each_kind_of_lock_is_another_one() {
    let name = fresh("kinds");
    let running = [&["--permits", "1"][..], &["--exclusive"], &[]].map(|options| start_running(&name, options));
    running.into_iter().for_each(end);
}

#[test]
fn what_makes_no_sense_is_refused_before_the_server_is_asked() {
    let refused = |name: &str, options: &[&str]| {
        let nowhere = ["run", "--url", "mysql://nobody@127.0.0.1:1/nowhere", "--name", name];
        let refused = finish(bare_tool(&[&nowhere, options, &["true"]].concat()));
        assert_eq!((refused.status, &*refused.stdout), (64, ""), "{options:?}: {}", refused.stderr);
        refused.stderr
    };
    for count in ["0", "65", "-1", "x", "1.5", ""] {
        refused("n", &[&format!("--permits={count}")]);
    }
    for pair in [["--permits=2", "--shared"], ["--permits=2", "--exclusive"], ["--shared", "--exclusive"]] {
        refused("n", &pair);
    }
    for several in ["--permits=2", "--shared"] {
        let told = refused("n", &[several, "--fenced"]);
        assert!(told.contains("cannot be used with"), "{told}");
    }
    for kind in ["--permits=2", "--shared", "--exclusive"] {
        assert_one_sentence(&refused(&"x".repeat(53), &[kind]), "has 53 characters, more than 52");
    }
}

#[test]
fn a_lost_permit_ends_its_own_command_only() {
    let name = fresh("lost");
    let permits = &["--permits", "2"];
    let (mut one, two) = (start_running(&name, permits), start_running(&name, permits));
    kill(holder(&format!("{name}:permit#1")).expect("a holder"));
    assert_eq!(one.status(), 76);
    one.stderr.wait_for("THE LOCK IS LOST");
    end(two);
}

#[test]
fn exclusive_commands_may_have_tokens_that_grow() {
    let (database, name) = (database(), fresh("fenced"));
    init(&database, &["--fence"]);
    let shows = ["sh", "-c", "echo token $NAMED_LOCK_TOKEN"];
    for expected in ["token 1\n", "token 2\n"] {
        let arguments = [&["run", "--name", &name, "--exclusive", "--fenced"], &shows[..]].concat();
        let ran = finish(tool_at(&database.url, &arguments));
        assert_eq!((ran.status, &*ran.stdout), (0, expected), "{}", ran.stderr);
    }
}
