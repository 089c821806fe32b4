//! `break`.

use testkit::world::{assert_free_soon, fresh, hold_elsewhere, holder};

use crate::{stage::*, terminal::Terminal};

#[test]
fn it_asks_first_and_does_nothing_without_a_yes() {
    let name = fresh("asked");
    let elsewhere = hold_elsewhere(&name);
    for answer in ["n\n", "\n", "no yes\n", "\u{4}"] {
        let (mut terminal, mut program) = Terminal::start(&tool(&["break", &name]));
        program.stdout.wait_for(&format!("held by connection {} (root@", elsewhere.id));
        program.stdout.wait_for("Kill that session? Its program may continue, and not alone. [y/N] ");
        terminal.type_in(answer);
        program.stdout.wait_for("nothing was done");
        assert_eq!(program.status(), 1);
        assert_eq!(holder(&name), Some(elsewhere.id));
    }
    let (mut terminal, mut program) = Terminal::start(&tool(&["break", &name]));
    program.stdout.wait_for("[y/N] ");
    terminal.type_in("y\n");
    program.stdout.wait_for(&format!("killed connection {} (", elsewhere.id));
    assert_eq!(program.status(), 0);
    assert_free_soon(&name);
}

#[test]
fn another_holder_than_the_one_that_was_shown_is_spared() {
    let name = fresh("spared");
    let shown = hold_elsewhere(&name);
    let (mut terminal, mut program) = Terminal::start(&tool(&["break", &name]));
    program.stdout.wait_for("[y/N] ");
    drop(shown);
    assert_free_soon(&name);
    let next = hold_elsewhere(&name);
    terminal.type_in("yes\n");
    program.stdout.wait_for("no longer holds");
    assert_eq!(program.status(), 1);
    assert_eq!(holder(&name), Some(next.id));
}

#[test]
fn with_yes_it_does_not_ask() {
    let name = fresh("broken");
    let elsewhere = hold_elsewhere(&name);
    let broken = finish(tool(&["break", &name, "--yes"]));
    assert_eq!((broken.status, &*broken.stderr), (0, ""));
    assert!(broken.stdout.starts_with(&format!("killed connection {} (root@", elsewhere.id)), "{}", broken.stdout);
    assert_free_soon(&name);
}

#[test]
fn without_a_terminal_and_without_yes_it_is_refused() {
    let name = fresh("unasked");
    let elsewhere = hold_elsewhere(&name);
    let refused = finish(tool(&["break", &name]));
    assert_eq!(refused.status, 64);
    assert_one_sentence(&refused.stderr, "`break` needs --yes");
    assert_eq!(holder(&name), Some(elsewhere.id));
}

#[test]
fn a_lock_that_is_free_is_not_broken() {
    let name = fresh("free");
    let nothing = finish(tool(&["break", &name, "--yes"]));
    assert_eq!((nothing.status, nothing.stdout), (1, format!("`{name}` is free\n")));
}
