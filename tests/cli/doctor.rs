//! `doctor`: the check of a monitor.

use diesel::connection::SimpleConnection;
use serde_json::Value;
use test_server::Server;

use crate::stage::*;

/// Exit status, first word, and the same in JSON.
#[track_caller]
fn assert_says(server: &Server, status: i32, word: &str) {
    let text = finish(tool_at(server.url(), &["doctor"]));
    assert_eq!((text.status, &*text.stderr), (status, ""), "{}", text.stdout);
    let first = format!("{word}: {} {}\n", server.product(), server.version());
    assert!(text.stdout.starts_with(&first) || server.product().is_mariadb(), "{}", text.stdout);
    assert!(text.stdout.starts_with(&format!("{word}: ")), "{}", text.stdout);

    let json = finish(tool_at(server.url(), &["doctor", "--json"]));
    assert_eq!((json.status, &*json.stderr), (status, ""));
    let json: Value = serde_json::from_str(&json.stdout).expect("JSON");
    assert_eq!(json["status"], word.to_lowercase());
    assert_eq!(json["version"], server.version());
    let findings = json["findings"].as_array().expect("a list");
    assert!(findings.iter().all(|finding| finding["topic"].is_string() && finding["meaning"].is_string()), "{json}");
}

#[test]
fn its_status_is_what_the_worst_finding_is_to_a_monitor() {
    let server = private_server();
    assert_says(&server, 0, "OK");
    connect_to(&server).batch_execute("SET GLOBAL wait_timeout = 60").expect("an account of its own");
    assert_says(&server, 1, "WARNING");
    connect_to(&server).batch_execute("SET GLOBAL read_only = ON").expect("an account of its own");
    assert_says(&server, 2, "CRITICAL");
}

#[test]
fn a_server_that_does_not_answer_is_unknown() {
    let nowhere = "mysql://nobody@127.0.0.1:1/nowhere";
    let text = finish(tool_at(nowhere, &["doctor"]));
    assert_eq!((text.status, &*text.stderr), (3, ""));
    assert!(text.stdout.starts_with("UNKNOWN: no connection to the server at 127.0.0.1:1: "), "{}", text.stdout);

    let json = finish(tool_at(nowhere, &["doctor", "--json"]));
    assert_eq!(json.status, 3);
    let json: Value = serde_json::from_str(&json.stdout).expect("JSON");
    assert_eq!(json["status"], "unknown");
    assert!(json["error"].as_str().expect("a text").contains("no connection"), "{json}");
}

#[test]
fn whether_the_server_lists_its_locks_is_told_and_is_no_trouble() {
    let server = private_server();
    let error = |server: &Server| {
        let json = finish(tool_at(server.url(), &["doctor", "--json"])).stdout;
        serde_json::from_str::<Value>(&json).expect("JSON")["list_error"].clone()
    };
    if server.product().is_mariadb() {
        assert!(error(&server).as_str().expect("a text").contains("INSTALL SONAME"));
    }
    let_locks_be_listed(&mut connect_to(&server));
    assert_eq!(error(&server), Value::Null);
}
