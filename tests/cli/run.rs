//! `run`: what it promises to its user.

use std::{path::Path, process::Command};

use diesel::{connection::SimpleConnection, prelude::*};
use rustix::process::{Pid, Signal, kill_process};
use test_server::Server;

use testkit::{
    program::Program,
    world::{assert_free, assert_free_soon, fresh, hold_elsewhere, holder, is_alive, kill, server, wait_until},
};

use crate::{
    stage::{assert_one_sentence, finish, tool},
    terminal::Terminal,
};

/// Says "ready", then sleeps until a signal; says which one.
const TRAPS: &str = "
    for signal in INT TERM HUP QUIT; do trap \"kill \\$!; echo got $signal; exit 7\" $signal; done
    sleep 20 & echo ready; wait";

fn run(name: &str, arguments: &[&str]) -> Command {
    tool(&[&["run", "--name", name], arguments].concat())
}

fn start(name: &str, arguments: &[&str]) -> Program {
    Program::start(&mut run(name, arguments))
}

/// Runs it to its end.
#[track_caller]
fn status(name: &str, arguments: &[&str]) -> i32 {
    start(name, arguments).status()
}

/// Starts a shell under the lock, and waits until it says that it is ready.
#[track_caller]
fn start_shell(name: &str, script: &str) -> Program {
    let program = start(name, &["--", "sh", "-c", script]);
    program.stdout.wait_for("ready\n");
    program
}

#[test]
fn exit_status_of_the_command_is_passed_on() {
    let name = fresh("status");
    for expected in [0, 1, 75, 255] {
        assert_eq!(status(&name, &["--", "sh", "-c", &format!("exit {expected}")]), expected);
    }
    assert_eq!(status(&name, &["sh", "-c", "kill -KILL $$"]), 128 + 9);
    assert_free(&name);
}

#[test]
fn arguments_input_and_output_of_the_command_are_its_own() {
    let mut program = start(&fresh("own"), &["printf", "<%s>", "a b", "--name", "-n", "$HOME", ""]);
    assert_eq!(program.status(), 0);
    program.stdout.wait_for("<a b><--name><-n><$HOME><>");
    assert_eq!(program.stderr.to_string(), "");

    let mut program = start(&fresh("own"), &["cat"]);
    program.close_input();
    assert_eq!(program.status(), 0);
}

#[test]
fn a_command_that_cannot_be_run_has_the_status_that_shells_give_and_the_lock_is_free() {
    let name = fresh("unrunnable");
    assert_eq!(status(&name, &["no-such-command"]), 127);
    assert_eq!(status(&name, &["/etc/passwd"]), 126);
    assert_free(&name);
}

#[test]
fn a_wrong_command_line_is_refused_before_the_server_is_asked() {
    let nowhere = ["--url", "mysql://nobody@127.0.0.1:1/nowhere"];
    let refused = |name: &str, arguments: &[&str]| status(name, &[&nowhere, arguments].concat());
    assert_eq!(refused("", &["true"]), 64);
    assert_eq!(refused(&"x".repeat(65), &["true"]), 64);
    for wrong in ["", "ten", "-1", "5 parsecs", "inf", "NaN"] {
        assert_eq!(refused("n", &[&format!("-w{wrong}"), "true"]), 64, "{wrong:?}");
    }
    // As for `GET_LOCK`, and with an advice for a shell.
    let negative = finish(tool(&["run", "--name", "n", "-w", "-1", "true"]));
    assert!(negative.stderr.contains("to wait for ever, leave it out"), "{}", negative.stderr);
    let long = finish(tool(&["run", "--name", &"x".repeat(65), "true"]));
    assert!(long.stderr.contains("it has 65 characters, more than 64"), "{}", long.stderr);
    assert_eq!(refused("n", &["--timeout", "1s", "--no-wait", "true"]), 64);
    assert_eq!(refused("n", &["--conflict-exit-code", "256", "true"]), 64);
    assert_eq!(refused("n", &[]), 64);
    assert_eq!(refused("n", &["true"]), 69, "no server");
}

#[test]
fn commands_under_one_name_take_turns() {
    let name = fresh("turns");
    // Only one at a time can make it.
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(fresh("turns"));
    let folder = folder.to_str().expect("a plain path");
    let arguments = ["--timeout", "15s", "--", "sh", "-c", "mkdir $0 && sleep 0.1 && rmdir $0", folder];
    let mut programs = [(); 4].map(|()| start(&name, &arguments));
    assert_eq!(programs.each_mut().map(Program::status), [0; 4]);
    assert_free(&name);
}

#[test]
fn a_lock_that_is_not_free_in_time_has_a_status_of_its_own_and_the_command_does_not_run() {
    let name = fresh("busy");
    let elsewhere = hold_elsewhere(&name);
    let waits: [(&[&str], i32); 6] = [
        (&["-n"], 75),
        (&["-w", "0"], 75),
        (&["-w", "1"], 75),
        (&["-w", "0.3"], 75),
        (&["--timeout", "600ms"], 75),
        (&["--no-wait", "-E", "9"], 9),
    ];
    for (options, expected) in waits {
        let mut program = start(&name, &[options, &["echo", "ran"]].concat());
        assert_eq!(program.status(), expected, "{options:?}");
        assert_eq!(program.stdout.to_string(), "");
        program.stderr.wait_for(&format!("held by connection {}", elsewhere.id));
        assert_one_sentence(&program.stderr.to_string(), "was not free within");
        assert!(!program.stderr.to_string().contains("waiting for"), "chatty without a terminal: {}", program.stderr);
    }
}

#[test]
fn signals_go_on_to_the_command_and_the_lock_is_free_when_that_has_ended() {
    for (signal, said) in [(Signal::INT, "INT"), (Signal::TERM, "TERM"), (Signal::HUP, "HUP"), (Signal::QUIT, "QUIT")] {
        let name = fresh("signal");
        let mut program = start_shell(&name, TRAPS);
        program.signal(signal);
        program.stdout.wait_for(&format!("got {said}\n"));
        assert_eq!(program.status(), 7);
        assert_free(&name);
    }
}

#[test]
fn a_command_started_by_nohup_stays_deaf_to_the_hangup() {
    let command = run(&fresh("nohup"), &["--", "sh", "-c", "kill -HUP $PPID $$; exit 7"]);
    let mut nohup = Command::new("nohup");
    nohup.args(command.get_args().skip_while(|arg| *arg == "--default-signal")).env("DATABASE_URL", server().url());
    assert_eq!(Program::start(&mut nohup).status(), 7);
}

#[test]
fn a_signal_ends_the_wait() {
    let name = fresh("impatient");
    let elsewhere = hold_elsewhere(&name);
    let (_, mut program) = Terminal::start(&run(&name, &["true"]));
    program.stdout.wait_for("waiting for");
    program.signal(Signal::TERM);
    assert_eq!(program.status(), 128 + 15);
    assert_eq!(holder(&name), Some(elsewhere.id));
}

#[test]
fn a_terminal_shows_who_is_waited_for() {
    let name = fresh("shown");
    let elsewhere = hold_elsewhere(&name);
    let (_, mut program) = Terminal::start(&run(&name, &["echo", "my turn"]));
    program.stdout.wait_for(&format!("named-lock: waiting for `{name}` for "));
    program.stdout.wait_for(&format!("s or longer by connection {} (", elsewhere.id));
    wait_until("a longer time", || {
        let screen = program.stdout.to_string();
        screen.lines().any(|line| line.contains("held for ") && !line.contains("held for 0s"))
    });
    drop(elsewhere);
    assert_eq!(program.status(), 0);
    program.stdout.wait_for("my turn");
}

/// The terminal sends it to the command itself. Here the command has left the terminal, so one that comes would be ours.
#[test]
fn a_signal_typed_at_the_terminal_is_not_sent_to_the_command_twice() {
    let name = fresh("typed");
    let (mut terminal, mut program) = Terminal::start(&run(&name, &["setsid", "sh", "-c", TRAPS]));
    program.stdout.wait_for("ready");
    terminal.type_in("\u{3}");
    // The terminal sends the signal, then shows the key.
    program.stdout.wait_for("^C");
    program.signal(Signal::TERM);
    program.stdout.wait_for("got ");
    assert_eq!(program.status(), 7);
    assert!(program.stdout.to_string().contains("got TERM"), "{}", program.stdout);
}

#[test]
fn a_lost_lock_ends_the_command_and_has_a_status_of_its_own() {
    let name = fresh("lost");
    let mut program = start_shell(&name, TRAPS);
    kill(holder(&name).expect("a holder"));
    program.stdout.wait_for("got TERM\n");
    assert_eq!(program.status(), 76);
    program.stderr.wait_for("was lost");
}

#[test]
fn on_loss_the_command_is_killed_or_let_be_if_that_is_asked_for() {
    let name = fresh("lost_and_killed");
    let mut killed = start(&name, &["--on-loss", "kill", "--", "sh", "-c", "trap '' TERM; echo ready; read line"]);
    killed.stdout.wait_for("ready\n");
    kill(holder(&name).expect("a holder"));
    assert_eq!(killed.status(), 76);
    killed.stderr.wait_for("it ended with status 137");

    let name = fresh("lost_and_let_be");
    let mut spared = start(&name, &["--on-loss", "nothing", "--", "sh", "-c", "echo ready; read line; echo went on"]);
    spared.stdout.wait_for("ready\n");
    kill(holder(&name).expect("a holder"));
    spared.stderr.wait_for("THE LOCK IS LOST");
    spared.close_input();
    assert_eq!(spared.status(), 76);
    spared.stdout.wait_for("went on\n");
}

#[test]
fn the_loss_is_told_at_once_also_if_the_server_has_ended() {
    let server = Server::start(server().product()).expect("a server of its own");
    let script = ["--url", server.url(), "--on-loss", "nothing", "--", "sh", "-c", "echo ready; read line"];
    let mut program = start("gone", &script);
    program.stdout.wait_for("ready\n");
    drop(server);
    program.stderr.wait_for("THE LOCK IS LOST: the command continues, perhaps not alone");
    program.close_input();
    assert_eq!(program.status(), 76);
}

#[test]
fn a_lock_lost_in_the_command_s_last_moment_is_told_too() {
    let name = fresh("lost_late");
    let mut program = start_shell(&name, "echo ready; read line; exit 0");
    kill(holder(&name).expect("a holder"));
    program.close_input();
    assert_eq!(program.status(), 76);
}

#[test]
fn the_session_outlives_the_server_s_idle_timeout() {
    let server = Server::start(server().product()).expect("a server of its own");
    let mut command = run("long", &["--url", server.url(), "sleep", "4"]);
    let mut conn = MysqlConnection::establish(server.url()).expect("a connection");
    // Enough for a ping that is late on a busy machine.
    conn.batch_execute("SET GLOBAL wait_timeout = 3").expect("an account of its own");
    let mut program = Program::start(&mut command);
    assert_eq!(program.status(), 0, "{}", program.stderr);

    // As short as the usual time between two questions. On a busy machine, the session may be idle for that long before the first.
    conn.batch_execute("SET GLOBAL wait_timeout = 1").expect("an account of its own");
    wait_until("a session that lives", || status("short", &["--url", server.url(), "true"]) == 0);
}

#[test]
fn after_kill_9_the_lock_is_held_until_the_command_has_ended_too() {
    let name = fresh("kill_9");
    let mut program = start_shell(&name, "echo ready; read line");
    program.signal(Signal::KILL);
    assert_eq!(program.status(), 128 + 9);
    assert_eq!(status(&name, &["--timeout", "300ms", "true"]), 75);
    program.close_input();
    assert_free_soon(&name);
}

#[test]
fn what_the_command_leaves_behind_keeps_no_connection() {
    let name = fresh("left_behind");
    let mut program = start(&name, &["--", "sh", "-c", "echo ready; read line; sleep 30 >/dev/null 2>&1 & echo $!"]);
    program.stdout.wait_for("ready\n");
    let session = holder(&name).expect("a holder");
    program.close_input();
    assert_eq!(program.status(), 0, "{}", program.stderr);
    wait_until("its session to be gone", || !is_alive(session));
    let left = || program.stdout.to_string().strip_prefix("ready\n")?.strip_suffix('\n')?.parse().ok();
    wait_until("a process id", || left().is_some());
    let left: i32 = left().expect("a process id");
    kill_process(Pid::from_raw(left).expect("a process id"), Signal::KILL).expect("it is there");
}

#[test]
fn the_end_of_the_command_is_noticed_if_its_signal_is_blocked() {
    let mut command = Command::new("env");
    command.args(["--block-signal=CHLD", env!("CARGO_BIN_EXE_named-lock"), "run", "--name", &fresh("blocked"), "true"]);
    let mut program = Program::start(command.env("DATABASE_URL", server().url()));
    assert_eq!(program.status(), 0, "{}", program.stderr);
}
