//! `man` and `completions`.

use std::process::Command;

use testkit::program::Program;

use crate::stage::*;

#[test]
fn there_is_a_manual_page_of_each_command_with_its_exit_statuses() {
    for subcommand in SUBCOMMANDS {
        let page = finish(bare_tool(&["man", subcommand]));
        assert_eq!((page.status, &*page.stderr), (0, ""), "{subcommand}");
        assert!(page.stdout.contains(&format!(".TH named-lock-{subcommand} 1")), "{}", page.stdout);
    }
    let page = finish(bare_tool(&["man"])).stdout;
    assert!(page.contains("Exit status") && page.contains("named\\-lock\\-run(1)"), "{page}");
    assert!(finish(bare_tool(&["man", "run"])).stdout.contains(" 76  run, but perhaps not alone"));
    let refused = finish(bare_tool(&["man", "wrong"]));
    assert_eq!(refused.status, 64);
    assert_one_sentence(&refused.stderr, "there is no command `wrong`");
}

#[test]
fn completions_are_there_for_each_shell_and_bash_can_read_its_own() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = finish(bare_tool(&["completions", shell]));
        assert_eq!((script.status, &*script.stderr), (0, ""), "{shell}");
        assert!(script.stdout.contains("conflict-exit-code"), "{shell}");
    }
    let script = "source <(\"$0\" completions bash) && complete -p named-lock";
    let mut bash = Command::new("bash");
    bash.args(["-c", script, env!("CARGO_BIN_EXE_named-lock")]);
    let read = Program::start(&mut bash).finish();
    assert_eq!(read.status, 0, "{}", read.stderr);
}
