//! The examples that show something and say whether it was so.

use testkit::world::server;

use crate::program::{Program, example};

#[test]
fn critical_section_shows_that_money_is_lost_without_the_lock_and_only_then() {
    let mut program = Program::start(&mut example("critical_section"));
    assert_eq!(program.status(), 0, "{}", program.stderr);
    program.stdout.wait_for("without the lock:  70 +  70, lost: 60\n");
    program.stdout.wait_for("   with the lock: 100 + 100, lost: 0\n");
}

#[test]
fn quickstart_shows_that_no_two_sections_overlap() {
    let mut program = Program::start(&mut example("quickstart"));
    assert_eq!(program.status(), 0, "{}", program.stderr);
    program.stdout.wait_for("yes: no two sections overlapped\n");
}

#[test]
fn leader_shows_that_no_two_leaders_write_in_turns() {
    let mut program = Program::start(&mut example("leader"));
    assert_eq!(program.status(), 0, "{}", program.stderr);
    for event in ["killed (kill -9)", "stopped (SIGSTOP)", "told to resign"] {
        assert!(program.stdout.to_string().contains(event), "{}", program.stdout);
    }
    program.stdout.wait_for("is stale, 3 has been issued since");
    program.stdout.wait_for("yes: never did two leaders write in turns\n");
}

#[test]
fn permits_shows_that_never_more_than_three_render_although_one_is_killed() {
    let mut program = Program::start(&mut example("permits"));
    assert_eq!(program.status(), 0, "{}{}", program.stdout, program.stderr);
    program.stdout.wait_for("yes: three processes rendered at once, and never more\n");
    program.stdout.wait_for("yes: no permit was left\n");
}

#[test]
fn quorum_shows_that_two_sections_do_not_overlap_although_a_server_dies() {
    let mut program = Program::start(&mut example("quorum"));
    assert_eq!(program.status(), 0, "{}{}", program.stdout, program.stderr);
    program.stdout.wait_for("yes: the two sections did not overlap");
}

#[test]
fn web_shows_that_stock_sales_and_locks_agree_although_clients_hang_up() {
    // `diesel-async` calls the parameter for a Unix socket by another name.
    let mut program = Program::start(example("web").env("DATABASE_URL", server().tcp_url()));
    assert_eq!(program.status(), 0, "{}{}", program.stdout, program.stderr);
    program.stdout.wait_for("yes: every sale took one from the stock\n");
}
