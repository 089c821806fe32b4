//! As cron runs it: without an environment, and without a terminal.

use testkit::{
    program::Program,
    world::{assert_free, fresh, server},
};

use crate::stage::*;

/// The commands that need a server, with what else they need.
const ON_SERVER: [&[&str]; 5] = [
    &["list"],
    &["holder", "x"],
    &["break", "x", "--yes"],
    &["jobs"],
    &["run", "-n", "--name", "x", "--", "echo", "ran"],
];

#[test]
fn without_a_url_every_command_is_refused_with_a_sentence_and_no_server_is_started() {
    for arguments in ON_SERVER {
        for command in [bare_tool(arguments), tool_at("", arguments)] {
            let refused = finish(command);
            assert_eq!((refused.status, &*refused.stdout), (64, ""), "{arguments:?}");
            assert_one_sentence(&refused.stderr, "no server is named: give --url, or set DATABASE_URL");
        }
    }
    let refused = finish(bare_tool(&["doctor"]));
    assert_eq!(refused.status, 3);
    assert!(refused.stdout.starts_with("UNKNOWN: no server is named"), "{}", refused.stdout);
}

#[test]
fn of_two_runs_at_once_one_runs_and_the_other_has_its_own_status() {
    let name = fresh("at_once");
    let arguments = |script| {
        ["run", "--url", server().url(), "-n", "--name", &name, "--", "/bin/sh", "-c", script].map(str::to_owned)
    };
    let start = |script| {
        let arguments = arguments(script);
        Program::start(&mut bare_tool(&arguments.each_ref().map(String::as_str)))
    };
    let mut first = start("echo ready; read line; exit 0");
    first.stdout.wait_for("ready\n");
    let second = start("echo ran").finish();
    assert_eq!((second.status, &*second.stdout), (75, ""));
    assert_one_sentence(&second.stderr, "was not free");
    first.close_input();
    assert_eq!(first.status(), 0);
    assert_free(&name);
}

#[test]
fn help_needs_neither_a_server_nor_a_terminal() {
    for subcommand in SUBCOMMANDS {
        for arguments in [&[subcommand, "--help"], &["help", subcommand]] {
            let help = finish(bare_tool(arguments));
            assert_eq!((help.status, &*help.stderr), (0, ""), "{arguments:?}");
            assert!(help.stdout.contains(&format!("Usage: named-lock {subcommand}")), "{}", help.stdout);
        }
    }
    let help = finish(bare_tool(&["--help"]));
    assert_eq!(help.status, 0);
    for part in SUBCOMMANDS.iter().chain(&["Exit status"]) {
        assert!(help.stdout.contains(part), "{part} is not in {}", help.stdout);
    }
    assert_eq!(finish(bare_tool(&["--version"])).stdout, concat!("named-lock ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn a_wrong_command_line_has_the_status_of_sysexits_and_for_a_monitor_that_of_unknown() {
    for (arguments, expected) in
        [(&["no-such-command"][..], 64), (&[], 64), (&["list", "--wrong"], 64), (&["doctor", "--wrong"], 3)]
    {
        let refused = finish(bare_tool(arguments));
        assert_eq!((refused.status, &*refused.stdout), (expected, ""), "{arguments:?}");
        assert!(refused.stderr.contains("Usage: named-lock"), "{}", refused.stderr);
    }
}

#[test]
fn top_is_refused_without_a_terminal() {
    let refused = finish(tool(&["top"]));
    assert_eq!(refused.status, 64);
    assert_one_sentence(&refused.stderr, "`top` needs a terminal");
}
