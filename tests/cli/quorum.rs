//! `quorum`.

use std::process::Command;

use test_server::Server;
use testkit::world::{fresh, get_lock, hold_elsewhere, id};

use crate::stage::*;

/// Nothing listens there.
const REFUSING: &str = "mysql://root@127.0.0.1:1/test";

fn quorum(name: &str, urls: [&str; 3]) -> Command {
    let nodes = ["a", "b", "c"].iter().zip(urls).flat_map(|(node, url)| ["--node".to_owned(), format!("{node}={url}")]);
    let mut command = bare_tool(&["quorum", name]);
    command.args(nodes);
    command
}

fn other_server() -> &'static Server {
    static OTHER: std::sync::LazyLock<Server> = std::sync::LazyLock::new(private_server);
    &OTHER
}

#[test]
fn it_says_who_holds_the_lock_on_each_node_and_whether_a_majority_does() {
    let (name, here) = (fresh("quorum"), testkit::world::server().url());
    let elsewhere = hold_elsewhere(&name);
    let mut there = connect_to(other_server());
    assert_eq!(get_lock(&mut there, &name, 0), Some(1));

    let held = finish(quorum(&name, [here, other_server().url(), REFUSING]));
    assert_eq!((held.status, &*held.stderr), (0, ""));
    let lines: Vec<&str> = held.stdout.lines().collect();
    assert!(lines[1].starts_with("a ") && lines[1].contains(&format!("held by connection {} (", elsewhere.id)));
    assert!(lines[2].starts_with("b ") && lines[2].contains(&format!("held by connection {} (", id(&mut there))));
    assert!(lines[3].starts_with("c ") && lines[3].contains("127.0.0.1:1") && lines[3].contains("no connection"));
    assert_eq!(lines[4], format!("`{name}` is held on 2 of 3 nodes, a majority"), "{}", held.stdout);

    drop(there);
    testkit::world::wait_until("the lock to be free there", || {
        let partly = finish(quorum(&name, [here, other_server().url(), REFUSING]));
        partly.status == 69 && partly.stderr.contains("too few nodes have answered")
    });
}

#[test]
fn a_lock_that_is_free_on_a_majority_is_free() {
    let (name, here) = (fresh("quorum_free"), testkit::world::server().url());
    let free = finish(quorum(&name, [here, other_server().url(), REFUSING]));
    assert_eq!((free.status, &*free.stderr), (1, ""));
    assert!(free.stdout.ends_with(&format!("\n`{name}` is free\n")), "{}", free.stdout);
}

/// As by a section that is about to begin or to end, or by another program.
#[test]
fn a_lock_that_is_held_on_a_minority_is_not_called_free() {
    let (name, here, third) = (fresh("quorum_partly"), testkit::world::server().url(), private_server());
    let _held = hold_elsewhere(&name);
    let partly = finish(quorum(&name, [here, other_server().url(), third.url()]));
    assert_eq!((partly.status, &*partly.stderr), (1, ""));
    assert!(partly.stdout.contains(&format!("`{name}` is held on 1 of 3 nodes, no majority;")), "{}", partly.stdout);
}

/// It would count twice.
#[test]
fn two_nodes_that_are_one_server_are_refused() {
    let (name, here) = (fresh("quorum_same"), testkit::world::server());
    let _held = hold_elsewhere(&name);
    let same = finish(quorum(&name, [here.url(), other_server().url(), here.tcp_url()]));
    assert_eq!(same.status, 64, "{}", same.stdout);
    assert_one_sentence(&same.stderr, "nodes `a` and `c` are one server: give each node its own");
}

#[test]
fn nodes_that_are_wrong_are_refused_and_no_password_is_shown() {
    let secret = "mysql://app:hidden@127.0.0.1:1/test";
    let none = finish(bare_tool(&["quorum", "x"]));
    assert_eq!(none.status, 64, "{}", none.stderr);
    for (nodes, why) in [
        (vec![secret], "a node is its name and its URL"),
        (vec![&*format!("a={secret}"), &*format!("b={secret}")], "three nodes or more, not 2"),
        (vec!["a=http://app:hidden@host", "b=x", "c=x"], "is not valid"),
        (vec!["a=mysql://x", "b=mysql://y", "a=mysql://z"], "two nodes have the name `a`"),
    ] {
        let arguments = nodes.iter().flat_map(|node| ["--node", node]);
        let mut command = bare_tool(&["quorum", "x"]);
        command.args(arguments);
        let refused = finish(command);
        assert_eq!(refused.status, 64, "{}", refused.stderr);
        assert_one_sentence(&refused.stderr, why);
        assert!(!refused.stderr.contains("hidden"), "{}", refused.stderr);
    }
}

#[test]
fn the_nodes_may_come_from_the_environment() {
    let here = testkit::world::server().url();
    let mut command = bare_tool(&["quorum", &fresh("quorum_env")]);
    command.env("NAMED_LOCK_NODES", format!("a={here} b={REFUSING} c={}", other_server().url()));
    assert_eq!(finish(command).status, 1);
}
