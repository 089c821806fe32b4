//! `list` and `holder`.

use std::thread;

use diesel_named_lock::NamedLock;
use serde_json::Value;
use testkit::world::{connect, fresh, hold_elsewhere, id, is_mysql, wait_until};

use crate::stage::*;

fn listed() -> String {
    let list = finish(tool(&["list"]));
    assert_eq!((list.status, &*list.stderr), (0, ""));
    list.stdout
}

/// The lock, and its place in the list.
fn in_json(name: &str) -> Option<(usize, Value)> {
    let list = finish(tool(&["list", "--json"]));
    assert_eq!((list.status, &*list.stderr), (0, ""));
    let list: Value = serde_json::from_str(&list.stdout).expect("JSON");
    assert!(list["unassigned_waiters"].is_array());
    let locks = list["locks"].as_array().expect("a list");
    locks.iter().cloned().enumerate().find(|(_, lock)| lock["name"] == name)
}

#[test]
fn holders_and_waiters_are_listed_and_contended_locks_come_first() {
    listing_server();
    let (quiet, contended) = (fresh("a"), fresh("z"));
    let (_quiet, held) = (hold_elsewhere(&quiet), hold_elsewhere(&contended));
    let lock = NamedLock::new(&*contended).expect("a valid name").wait_forever();
    let mut conn = connect();
    let waiter = id(&mut conn);
    let waits = thread::spawn(move || lock.acquire(conn).map(drop).map_err(|failed| failed.error));
    wait_until("the waiter to be listed", || listed().contains(&format!(" {waiter} ")));

    let list = listed();
    let line =
        |part: &str| list.lines().position(|line| line.contains(part)).unwrap_or_else(|| panic!("{part}: {list}"));
    let row = |part: &str| list.lines().nth(line(part)).expect("a line").split_whitespace().take(4).collect::<Vec<_>>();
    assert_eq!(row(&contended), [&*contended, "holds", &held.id.to_string(), "root"]);
    assert!(row(&format!(" {waiter} ")).contains(&"waits"), "{list}");

    let ((quiet_place, quiet), (place, contended)) = (in_json(&quiet).unwrap(), in_json(&contended).unwrap());
    assert_eq!(contended["holder"]["connection_id"], held.id);
    assert_eq!(contended["holder"]["user"], "root");
    assert_eq!(contended["holder"]["statement"], Value::Null);
    assert_eq!(quiet["waiters"], Value::Array(Vec::new()));
    // MariaDB's plugin does not say which lock a session waits for.
    if is_mysql() {
        assert_eq!(contended["waiters"][0]["connection_id"], waiter);
        assert!(place < quiet_place, "{list}");
    }
    drop(held);
    waits.join().expect("no panic").expect("the lock");
}

#[test]
fn a_server_that_lists_no_locks_is_told_what_would_help() {
    if is_mysql() {
        return;
    }
    let server = private_server();
    for arguments in [&["list"][..], &["list", "--json"]] {
        let refused = finish(tool_at(server.url(), arguments));
        assert_eq!((refused.status, &*refused.stdout), (69, ""));
        assert_one_sentence(&refused.stderr, "INSTALL SONAME 'metadata_lock_info'");
    }
}

#[test]
fn where_no_lock_is_held_the_list_says_so() {
    let server = private_server();
    let_locks_be_listed(&mut connect_to(&server));
    assert_eq!(finish(tool_at(server.url(), &["list"])).stdout, "no named lock is held\n");
}

#[test]
fn the_holder_is_told_and_a_free_lock_has_a_status_of_its_own() {
    let name = fresh("holder");
    let elsewhere = hold_elsewhere(&name);
    let held = finish(tool(&["holder", &name]));
    assert_eq!((held.status, &*held.stderr), (0, ""));
    assert!(held.stdout.starts_with(&format!("connection {} (root@", elsewhere.id)), "{}", held.stdout);
    drop(elsewhere);
    wait_until("the lock to be free", || {
        let free = finish(tool(&["holder", &name]));
        free.status == 1 && free.stdout == format!("`{name}` is free\n")
    });
}

#[test]
fn a_name_can_do_no_harm_to_the_terminal() {
    listing_server();
    let name = fresh("\u{1b}[2Jevil");
    let _elsewhere = hold_elsewhere(&name);
    let list = listed();
    assert!(list.contains("\\u{1b}[2j") || list.contains("\\u{1b}[2J"), "{list}");
    assert!(!list.contains('\u{1b}'), "{list}");
}
