//! A private server is what it says it is, and goes when it should.

mod process;

use std::fs::Permissions;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use std::{env, fs, panic};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::Text;
use process::{Helper, await_that, is_alive, signal};
use test_server::{Product, Server};

const LIMIT: Duration = Duration::from_secs(120);

fn start() -> Server {
    Server::start(Product::wanted()).unwrap()
}

/// The folder that a server's URL has its socket in.
fn folder_in(url: &str) -> PathBuf {
    let (_, socket) = url.split_once("unix_socket=").unwrap();
    Path::new(socket).parent().unwrap().to_owned()
}

fn ask(url: &str, what: &str) -> String {
    let mut conn = MysqlConnection::establish(url).unwrap();
    diesel::select(diesel::dsl::sql::<Text>(what)).get_result(&mut conn).unwrap()
}

#[test]
fn answers_on_both_addresses() {
    let server = start();
    for url in [server.url(), server.tcp_url()] {
        assert_eq!(ask(url, "VERSION()"), server.version());
        assert_eq!(ask(url, "DATABASE()"), "test");
        assert_eq!(ask(url, "SUBSTRING_INDEX(USER(), '@', 1)"), "root");
        assert_eq!(ask(url, "CAST(@@performance_schema + 0 AS CHAR)"), "1");
        assert_eq!(ask(url, "CAST(@@max_connections AS CHAR)"), "500");
    }
    assert_eq!(server.product(), Product::wanted());
    assert_eq!(server.version().contains("MariaDB"), server.product().is_mariadb());
}

#[test]
fn an_option_of_the_caller_wins() {
    let server = Server::start_with(Product::wanted(), &["--max-connections=77".into()]).unwrap();
    assert_eq!(ask(server.url(), "CAST(@@max_connections AS CHAR)"), "77");
}

#[test]
fn a_server_started_by_another_is_used_and_left_alone() {
    let server = start();
    let guest = Server::at(server.url()).unwrap();
    assert_eq!((guest.url(), guest.tcp_url()), (server.url(), server.url()));
    assert_eq!((guest.product().is_mariadb(), guest.version()), (server.product().is_mariadb(), server.version()));
    assert_eq!(guest.pid(), None);
    drop(guest);
    assert_eq!(ask(server.url(), "DATABASE()"), "test");
}

#[test]
fn two_servers_share_nothing() {
    let (one, other) = (start(), start());
    assert_ne!(one.url(), other.url());
    assert_ne!(one.tcp_url(), other.tcp_url());
    for folder in ["@@datadir", "@@tmpdir"] {
        assert_ne!(ask(one.url(), folder), ask(other.url(), folder));
    }
}

#[test]
fn dropped_it_is_gone_with_its_folder() {
    let server = start();
    let (pid, folder) = (server.pid().unwrap(), folder_in(server.url()));
    assert!(is_alive(pid));
    assert_eq!(folder.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    drop(server);
    assert!(!is_alive(pid) && !folder.exists());
}

#[test]
fn a_panic_drops_it() {
    let server = start();
    let (pid, folder) = (server.pid().unwrap(), folder_in(server.url()));
    let outcome = panic::catch_unwind(move || {
        assert!(server.pid().is_none(), "on purpose");
    });
    assert!(outcome.is_err());
    assert!(!is_alive(pid) && !folder.exists());
}

#[test]
fn a_stopped_server_can_be_dropped() {
    let server = start();
    let (pid, folder) = (server.pid().unwrap(), folder_in(server.url()));
    signal("STOP", pid);
    drop(server);
    assert!(!is_alive(pid) && !folder.exists());
}

#[test]
fn a_killed_server_is_seen_to_end() {
    let server = start();
    let (pid, folder) = (server.pid().unwrap(), folder_in(server.url()));
    assert!(!server.ends_within(Duration::ZERO));
    signal("KILL", pid);
    assert!(server.ends_within(LIMIT));
    assert!(server.ends_within(Duration::ZERO));
    assert!(folder.exists(), "the folder is there as long as the `Server`");
    drop(server);
    assert!(!folder.exists());
}

#[test]
fn a_killed_server_starts_again_on_its_data_and_is_dropped_as_any() {
    let mut server = start();
    let (url, folder) = (server.url().to_owned(), folder_in(server.url()));
    MysqlConnection::establish(&url).unwrap().batch_execute("CREATE TABLE kept AS SELECT 'kept' AS word").unwrap();
    for _ in 0..2 {
        signal("KILL", server.pid().unwrap());
        assert!(server.ends_within(LIMIT));
        server.start_again().unwrap();
        assert!(!server.ends_within(Duration::ZERO));
        assert_eq!(ask(server.url(), "(SELECT word FROM kept)"), "kept");
    }
    assert_eq!(server.url(), url);
    let pid = server.pid().unwrap();
    drop(server);
    assert!(!is_alive(pid) && !folder.exists());
}

#[test]
fn no_server_outlives_the_process_that_started_it() {
    for name in ["KILL", "INT", "TERM", "HUP"] {
        let mut helper = Helper::start(&[]);
        let (server, url) = helper.server();
        assert!(is_alive(server));
        helper.signal(name);
        await_that(LIMIT, || !is_alive(server));
        await_that(LIMIT, || !folder_in(&url).exists());
    }
}

#[test]
fn a_process_killed_while_it_makes_the_data_folder_leaves_nothing() {
    let parent = tempfile::tempdir().unwrap();
    let first = || fs::read_dir(parent.path()).unwrap().flatten().next().map(|entry| entry.path());
    let helper = Helper::start(&[("TMPDIR", parent.path().to_str().unwrap())]);
    await_that(LIMIT, || first().is_some_and(|folder| folder.join("log").exists()));
    helper.signal("KILL");
    await_that(LIMIT, || first().is_none());
}

#[test]
fn an_unsuitable_temporary_folder_is_not_used() {
    let parent = tempfile::tempdir().unwrap();
    let unsuitable = parent.path().join("a blank, and much too long for a socket".repeat(3));
    fs::create_dir(&unsuitable).unwrap();
    let mut helper = Helper::start(&[("TMPDIR", unsuitable.to_str().unwrap())]);
    let (_, url) = helper.server();
    assert!(folder_in(&url).starts_with("/tmp"));
}

#[test]
fn a_server_that_is_not_there_is_an_error() {
    let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    assert!(Server::at(&format!("mysql://root@127.0.0.1:{port}/test")).is_err());
}

#[test]
fn an_unknown_product_is_refused() {
    assert!(refusal(&[("TEST_SERVER", "sqlite")]).contains("`mariadb-11.8` or `mysql`"));
}

#[test]
fn a_data_folder_that_cannot_be_made_is_an_error_with_the_log() {
    let error = refusal_of_fake("echo 'no room'; exit 1", "exit 0");
    assert!(error.contains("data folder can't be made") && error.contains("no room"), "{error}");
}

#[test]
fn a_server_that_ends_at_its_start_is_an_error_with_the_log() {
    let error = refusal_of_fake("exit 0", "echo 'no memory' >&2; exit 1");
    assert!(error.contains("ended at its start") && error.contains("no memory"), "{error}");
}

/// What is said when MariaDB's two programs do this.
fn refusal_of_fake(init: &str, serve: &str) -> String {
    let (programs, parent) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for (name, body) in [("mariadb-install-db", init), ("mariadbd", serve)] {
        let program = programs.path().join(name);
        fs::write(&program, format!("#!/bin/sh\n{body}\n")).unwrap();
        fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    }
    let path = format!("{}:{}", programs.path().display(), env::var("PATH").unwrap());
    let error = refusal(&[("TEST_SERVER", "mariadb"), ("PATH", &path), ("TMPDIR", parent.path().to_str().unwrap())]);
    assert!(fs::read_dir(parent.path()).unwrap().next().is_none(), "its folder is left");
    error
}

fn refusal(environment: &[(&str, &str)]) -> String {
    let output = Helper::command(environment).stdin(Stdio::null()).output().unwrap();
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn the_group_of_the_process_does_not_hold_the_server() {
    // A Ctrl-C reaches a whole process group; the server must get its SIGKILL and nothing before.
    let mut command = Helper::command(&[]);
    command.process_group(0);
    let mut helper = Helper::spawn(command);
    let (server, _) = helper.server();
    signal("INT", format!("-{}", helper.pid()));
    await_that(LIMIT, || !is_alive(server));
}
