//! What is written where.

use std::{
    os::{fd::OwnedFd, unix::net::UnixStream},
    process::Stdio,
};

use testkit::world::{fresh, hold_elsewhere, server};

use crate::stage::*;

#[test]
fn a_closed_pipe_is_no_panic_and_changes_no_status() {
    listing_server();
    let elsewhere = hold_elsewhere(&fresh("closed"));
    let name = fresh("also_closed");
    let _held = hold_elsewhere(&name);
    let status = |arguments: &[&str]| {
        let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
        drop(ours);
        let written = tool(arguments).stdout(Stdio::from(OwnedFd::from(theirs))).output().expect("a program");
        let stderr = String::from_utf8_lossy(&written.stderr).into_owned();
        assert_eq!(stderr, "", "{arguments:?}");
        written.status.code()
    };
    for arguments in [
        &["list"][..],
        &["list", "--json"],
        &["holder", &name],
        &["doctor"],
        &["init"],
        &["man"],
        &["completions", "bash"],
        &["--help"],
        &["run", "--help"],
        &["break", &name, "--yes"],
    ] {
        assert_eq!(status(arguments), Some(0), "{arguments:?}");
    }
    assert_eq!(status(&["holder", &fresh("free")]), Some(1));
    drop(elsewhere);
}

#[test]
fn a_full_disk_is_told() {
    let Ok(full) = std::fs::File::options().write(true).open("/dev/full") else { return };
    let written = bare_tool(&["init"]).stdout(full).output().expect("a program");
    assert_eq!(written.status.code(), Some(74));
    assert_one_sentence(&String::from_utf8_lossy(&written.stderr), "can't write to standard output");
}

#[test]
fn the_password_is_in_no_message() {
    let server = server().tcp_url().replace("root@", "nobody:topsecret@");
    let urls = [
        &*server,
        "mysql://nobody:topsecret@127.0.0.1:1/test",
        "mysql://nobody:topsecret@127.0.0.1:wrong/test",
        "mysql://nobody:topsecret@127.0.0.1/a/b",
        "mysql://nobody:topsecret@127.0.0.1/test?wrong=1",
        "mysql://nobody:topsecret@127.0.0.1/test?ssl_mode=wrong",
        "mysql://nobody:topsecret@127.0.0.1/test?ssl_ca=/no/such/file",
        "postgres://nobody:topsecret@127.0.0.1/test",
        "nobody:topsecret",
        // Not escaped.
        "mysql://nobody:2024?topsecret@127.0.0.1/test",
        "mysql://nobody:2024#topsecret@127.0.0.1/test",
        "mysql://nobody:2024/topsecret@127.0.0.1/test",
    ];
    for url in urls {
        for arguments in [&["holder", "x"][..], &["run", "--name", "x", "true"]] {
            let refused = finish(tool_at(url, arguments));
            assert!([64, 69].contains(&refused.status), "{url}: {}", refused.status);
            assert_one_sentence(&refused.stderr, "server");
            assert!(!refused.stderr.contains("topsecret"), "{}", refused.stderr);
        }
        let help = finish(tool_at(url, &["run", "--help"]));
        assert!(!help.stdout.contains("topsecret"), "{}", help.stdout);
    }
}
